package filter_test

import (
	"fmt"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
)

// sender makes the packets of one protocol for the matrix.
type sender struct {
	name    string
	proto   func(e pair) ipproto.Proto
	in, out func(e pair) event
	// replyIn is the packet that comes in if the host initiated the flow.
	replyIn func(e pair) event
	// pickedUp: out starts no flow of the host's for sure, so the flow is picked up.
	pickedUp bool
}

func fixed(p ipproto.Proto) func(pair) ipproto.Proto { return func(pair) ipproto.Proto { return p } }

func icmpOf(e pair) ipproto.Proto {
	if e.host.Addr().Is4() {
		return ipproto.ICMPv4
	}
	return ipproto.ICMPv6
}

var senders = []sender{
	{"tcp", fixed(ipproto.TCP),
		func(e pair) event { return e.tcpIn(syn) },
		func(e pair) event { return e.tcpOut(syn) },
		func(e pair) event { return e.tcpIn(synAck) }, false},
	{"tcp mid-stream", fixed(ipproto.TCP),
		func(e pair) event { return e.tcpIn(ack) },
		func(e pair) event { return e.tcpOut(ack) },
		func(e pair) event { return e.tcpIn(ack) }, true},
	{"udp", fixed(ipproto.UDP), pair.udpIn, pair.udpOut, pair.udpIn, false},
	{"sctp", fixed(ipproto.SCTP), pair.sctpIn, pair.sctpOut, pair.sctpIn, false},
	{"ping", icmpOf,
		func(e pair) event { return e.pingIn(7) },
		func(e pair) event { return e.pingOut(7) },
		func(e pair) event { return e.pongIn(7) }, false},
	{"gre", fixed(ipproto.GRE),
		func(e pair) event { return e.plainIn(ipproto.GRE) },
		func(e pair) event { return e.plainOut(ipproto.GRE) },
		func(e pair) event { return e.plainIn(ipproto.GRE) }, false},
	{"esp", fixed(50),
		func(e pair) event { return e.plainIn(50) },
		func(e pair) event { return e.plainOut(50) },
		func(e pair) event { return e.plainIn(50) }, false},
}

var families = []struct {
	name string
	ends pair
}{{"v4", ends4(80, 5000)}, {"v6", ends6(80, 5000)}}

// TestMatrix goes through direction × protocol × state × rule. (docs/lessons.md 12)
func TestMatrix(t *testing.T) {
	rules := map[string]func(own ipproto.Proto) (ms []filter.Match, allows bool){
		"no rule": func(ipproto.Proto) ([]filter.Match, bool) { return nil, false },
		"own protocol": func(own ipproto.Proto) ([]filter.Match, bool) {
			return []filter.Match{rule(filter.AllPorts, own)}, true
		},
		"own protocol, its port": func(own ipproto.Proto) ([]filter.Match, bool) {
			if !own.HasPorts() && !own.IsICMP() {
				return []filter.Match{rule(filter.AllPorts, own)}, true
			}
			return []filter.Match{rule(port(80), own)}, true
		},
		"own protocol, other port": func(own ipproto.Proto) ([]filter.Match, bool) {
			if !own.HasPorts() && !own.IsICMP() {
				return nil, false
			}
			return []filter.Match{rule(port(81), own)}, own.IsICMP()
		},
		"other protocols": func(own ipproto.Proto) (ms []filter.Match, allows bool) {
			for _, p := range []ipproto.Proto{1, 6, 17, 47, 50, 58, 132} {
				if p != own {
					ms = append(ms, rule(filter.AllPorts, p))
				}
			}
			return ms, false
		},
		"the default protocols": func(own ipproto.Proto) ([]filter.Match, bool) {
			return []filter.Match{rule(filter.AllPorts)}, own.IsICMP() || own == ipproto.TCP || own == ipproto.UDP
		},
		"other source": func(own ipproto.Proto) ([]filter.Match, bool) {
			m := rule(filter.AllPorts, own)
			m.Srcs = nets("100.64.0.3/32", "fd7a::3/128")
			return []filter.Match{m}, false
		},
		"swapped": func(own ipproto.Proto) ([]filter.Match, bool) {
			return []filter.Match{{
				IPProto: []ipproto.Proto{own},
				Srcs:    local,
				Dsts:    to(filter.AllPorts, peer4+"/32", peer6+"/128"),
			}}, false
		},
	}
	for _, family := range families {
		for _, s := range senders {
			for name, make := range rules {
				t.Run(family.name+"/"+s.name+"/"+name, func(t *testing.T) {
					ms, allows := make(s.proto(family.ends))
					testCell(t, s, family.ends, ms, allows)
				})
			}
		}
	}
}

func testCell(t *testing.T, s sender, e pair, ms []filter.Match, allows bool) {
	refused := filter.ReasonNoRule
	if allows {
		refused = none
	}
	c := filter.Config{Matches: ms}
	expect(t, newFilter(t, c), 0, s.in(e), refused)
	expect(t, newFilter(t, c), 0, s.out(e), none)

	// After the host has opened the flow, the reply comes in whatever the rules say.
	f := newFilter(t, c)
	expect(t, f, 0, s.out(e), none)
	expect(t, f, 1, s.replyIn(e), none)
	// Not from or to another port or address.
	if p := s.proto(e); p.HasPorts() {
		other := pair{e.host, e.peer}
		other.host = addrPort(e.host.Addr().String(), 4321)
		expect(t, f, 2, s.replyIn(other), s.refusedAt(ms, other))
		other = pair{e.host, addrPort(e.peer.Addr().String(), 4321)}
		expect(t, f, 2, s.replyIn(other), refused)
	}

	// After the peer has begun, what it sends next comes in too.
	f = newFilter(t, c)
	expect(t, f, 0, s.in(e), refused)
	expect(t, f, 1, s.in(e), refused)

	shielded := newFilter(t, filter.Config{Matches: ms, ShieldsUp: true})
	expect(t, shielded, 0, s.in(e), filter.ReasonShieldsUp)
	expect(t, shielded, 0, s.out(e), none)
	expect(t, shielded, 0, s.replyIn(e), none)

	jail := newFilter(t, c)
	expectFlags(t, jail, 0, s.in(e), filter.Jailed, filter.ReasonJailed)
	expectFlags(t, jail, 0, s.out(e), filter.Jailed, none)
	if s.pickedUp {
		expectFlags(t, jail, 0, s.replyIn(e), filter.Jailed, filter.ReasonJailed)
		// A SYN does not belong to it: the rules decide.
		f = newFilter(t, c)
		expect(t, f, 0, s.out(e), none)
		expect(t, f, 1, e.tcpIn(syn), refused)
	} else {
		expectFlags(t, jail, 0, s.replyIn(e), filter.Jailed, none)
	}

	elsewhere := newFilter(t, filter.Config{Matches: ms, Local: nets("10.0.0.1/32")})
	expect(t, elsewhere, 0, s.in(e), filter.ReasonNotLocal)
}

// refusedAt returns what a stateless reading of the rules says.
func (s sender) refusedAt(ms []filter.Match, e pair) filter.Reason {
	if naiveMatch(ms, s.proto(e), e.peer.Addr(), e.host.Addr(), e.host.Port()) {
		return none
	}
	return filter.ReasonNoRule
}

// A rule for TCP opens nothing else, not even between the same ports.
func TestFlowsAreOfOneProtocol(t *testing.T) {
	for _, family := range families {
		for _, began := range senders {
			for _, next := range senders {
				e := family.ends
				if began.proto(e) == next.proto(e) {
					continue
				}
				t.Run(fmt.Sprint(family.name, " ", began.name, " then ", next.name), func(t *testing.T) {
					f := newFilter(t, filter.Config{})
					expect(t, f, 0, began.out(e), none)
					expect(t, f, 0, next.in(e), filter.ReasonNoRule)
				})
			}
		}
	}
}
