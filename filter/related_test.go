package filter_test

import (
	"testing"
	"time"

	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

const noFlow = filter.ReasonNoFlow

// An ICMP error passes exactly if what it quotes is the host's packet of an
// open flow, whoever opened it and whoever reports it.
func TestICMPErrors(t *testing.T) {
	allow := []filter.Match{rule(filter.AllPorts), rule(filter.AllPorts, ipproto.GRE), rule(filter.AllPorts, ipproto.SCTP)}
	for _, family := range families {
		e := family.ends
		router := "100.99.0.1"
		if e.host.Addr().Is6() {
			router = "fd7a:99::1"
		}
		for _, s := range senders {
			if s.name == "esp" {
				continue // no rule for it here
			}
			t.Run(family.name+"/"+s.name, func(t *testing.T) {
				f := newFilter(t, filter.Config{Matches: allow})
				expect(t, f, 0, errorIn(router, e.host.Addr(), s.out(e)), noFlow)
				expect(t, f, 0, s.out(e), none)
				expect(t, f, 1, errorIn(router, e.host.Addr(), s.out(e)), none)
				f = newFilter(t, filter.Config{Matches: allow})
				expect(t, f, 0, s.in(e), none)
				expect(t, f, 1, errorIn(router, e.host.Addr(), s.reply(e)), none)
				// Revoked, the peer's flow is not spoken of either.
				f = newFilter(t, filter.Config{State: f.State()})
				expect(t, f, 2, errorIn(router, e.host.Addr(), s.reply(e)), noFlow)
			})
		}
	}
}

func TestForgedICMPErrors(t *testing.T) {
	e := ends4(80, 5000)
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(filter.AllPorts)}, Local: anywhere})
	expect(t, f, 0, e.udpOut(), none)
	host := e.host.Addr()
	valid := errorIn("100.99.0.1", host, e.udpOut()).b
	tests := map[string]event{
		"quotes a packet of the peer's": errorIn("100.99.0.1", host, e.udpIn()),
		"sent to another address":       errorIn("100.99.0.1", addr("100.64.0.77"), e.udpOut()),
		"quotes other ports":            errorIn("100.99.0.1", host, ends4(80, 5001).udpOut()),
		"quotes another protocol":       errorIn("100.99.0.1", host, e.tcpOut(ack)),
		"quotes nothing":                errorIn("100.99.0.1", host, event{}),
		"quotes an error":               errorIn("100.99.0.1", host, event{b: errorIn(host4, e.peer.Addr(), e.udpIn()).b}),
		"quotes a later fragment":       errorIn("100.99.0.1", host, event{b: craft.Cut(e.udpOut().b, 1, 8, 99)}),
		"quotes seven bytes":            errorIn("100.99.0.1", host, event{b: e.udpOut().b[:27]}),
		"quotes garbage":                errorIn("100.99.0.1", host, event{b: make([]byte, 60)}),
	}
	for name, ev := range tests {
		t.Run(name, func(t *testing.T) { expect(t, f, 1, ev, noFlow) })
	}
	expect(t, f, 1, in(valid), none)
	eight := errorIn("100.99.0.1", host, event{b: e.udpOut().b[:28]})
	expect(t, f, 1, eight, none)
}

// An error does not prolong the flow it is about.
func TestICMPErrorIsNoUse(t *testing.T) {
	e := ends6(80, 5000)
	f := newFilter(t, filter.Config{})
	expect(t, f, 0, e.udpOut(), none)
	expect(t, f, 2*minute-1, errorIn("fd7a:99::1", e.host.Addr(), e.udpOut()), none)
	expect(t, f, 2*minute, e.udpIn(), noRule)
}

func TestPingsByDirection(t *testing.T) {
	for _, family := range families {
		e := family.ends
		f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(1), icmpOf(e))}})
		expect(t, f, 0, e.pingIn(7), none) // the rule's ports do not matter
		expect(t, f, 0, e.pongIn(7), noFlow)
		expect(t, f, 0, e.pingOut(7), none)
		expect(t, f, 0, e.pongIn(7), none)
		expect(t, f, 0, e.pongOut(7), none)
		f = newFilter(t, filter.Config{})
		expect(t, f, 0, e.pingOut(7), none)
		expect(t, f, 0, e.pingIn(7), noRule)
		expect(t, f, 0, e.pongOut(8), none) // opens nothing
		expect(t, f, 0, e.pongIn(8), noFlow)
	}
}

// TestQueriesOfICMP: each kind of query is its own flow, by its identifier, and
// a reply passes exactly if it answers the host.
func TestQueriesOfICMP(t *testing.T) {
	kinds := []struct {
		name           string
		request, reply uint8
		v6             bool
	}{
		{"echo", 8, 0, false}, {"timestamp", 13, 14, false}, {"information", 15, 16, false}, {"mask", 17, 18, false},
		{"echo", 128, 129, true}, {"node", 139, 140, true},
	}
	message := func(out bool, e pair, typ uint8, id uint16) event {
		src, dst := e.peer.Addr(), e.host.Addr()
		if out {
			src, dst = dst, src
		}
		return event{out, craft.ICMP(src, dst, typ, typ, 0, echoRest(id), make([]byte, 12))}
	}
	for i, k := range kinds {
		e := ends4(0, 0)
		if k.v6 {
			e = ends6(0, 0)
		}
		t.Run(e.host.Addr().String()+"/"+k.name, func(t *testing.T) {
			f := newFilter(t, filter.Config{})
			expect(t, f, 0, message(false, e, k.reply, 9), noFlow)
			expect(t, f, 0, message(true, e, k.request, 9), none)
			expect(t, f, 1, message(false, e, k.reply, 9), none)
			expect(t, f, 1, message(false, e, k.reply, 8), noFlow)
			expect(t, f, 1, message(false, e, k.request, 9), noRule)
			for j, other := range kinds {
				if i != j && k.v6 == other.v6 {
					expect(t, f, 1, message(false, e, other.reply, 9), noFlow)
				}
			}
			expect(t, f, 1, errorIn(e.peer.Addr().String(), e.host.Addr(), message(true, e, k.request, 9)), none)
			expect(t, f, 1, errorIn(e.peer.Addr().String(), e.host.Addr(), message(true, e, k.request, 8)), noFlow)
			expect(t, f, time.Second+minute, message(false, e, k.reply, 9), noFlow)

			jailed := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(1), icmpOf(e))}})
			expectFlags(t, jailed, 0, message(false, e, k.request, 9), filter.Jailed, filter.ReasonJailed)
			expect(t, jailed, 0, message(true, e, k.request, 9), none)
			expectFlags(t, jailed, 0, message(false, e, k.reply, 9), filter.Jailed, none)

			f = newFilter(t, filter.Config{Matches: []filter.Match{rule(port(1), icmpOf(e))}})
			expect(t, f, 0, message(false, e, k.reply, 9), noFlow) // no rule makes an answer of it
			expect(t, f, 0, message(false, e, k.request, 9), none)
			expect(t, f, 0, message(true, e, k.reply, 9), none)
			expect(t, f, 1, errorIn(e.peer.Addr().String(), e.host.Addr(), message(true, e, k.reply, 9)), none)
			expect(t, f, 1, message(false, e, k.reply, 9), noFlow)
		})
	}
}

// TestErrorsThatQuoteNoLength: what a router quotes of a packet that was to be
// segmented by a device has a length of 0.
func TestErrorsThatQuoteNoLength(t *testing.T) {
	for _, family := range families {
		e := family.ends
		f := newFilter(t, filter.Config{})
		expect(t, f, 0, e.udpOut(), none)
		expect(t, f, 0, e.tcpOut(syn), none)
		other := pair{e.host, addrPort(e.peer.Addr().String(), 9)}
		for _, s := range []struct {
			sent event
			want filter.Reason
		}{{e.udpOut(), none}, {e.tcpOut(ack), none}, {other.udpOut(), noFlow}, {other.tcpOut(ack), noFlow}} {
			at, asPacket := 2, filter.ReasonMalformed // total length
			if e.host.Addr().Is6() {
				at, asPacket = 4, filter.ReasonTruncated // payload length
			}
			s.sent.b[at], s.sent.b[at+1] = 0, 0
			expect(t, f, 1, errorIn(e.peer.Addr().String(), e.host.Addr(), s.sent), s.want)
			expect(t, f, 1, in(s.sent.b), asPacket)
		}
	}
}

func TestTSMP(t *testing.T) {
	for _, family := range families {
		e := family.ends
		t.Run(family.name, func(t *testing.T) {
			h := packet.IPHeader{Src: e.peer.Addr(), Dst: e.host.Addr(), Proto: ipproto.TSMP}
			f := newFilter(t, filter.Config{ShieldsUp: true})
			expect(t, f, 0, in(packet.Generate(packet.TSMPPing{IPHeader: h}, nil)), none)
			expect(t, f, 0, in(packet.Generate(packet.TSMPPongReply{IPHeader: h}, nil)), none)
			expect(t, f, 0, in(packet.Generate(h, []byte("x1234567890"))), filter.ReasonShieldsUp)

			rejected := func(proto ipproto.Proto, src, dst uint16) event {
				r := packet.TSMPRejected{Proto: proto, Reason: packet.RejectedByRules}
				r.Src = addrPort(e.host.Addr().String(), src)
				r.Dst = addrPort(e.peer.Addr().String(), dst)
				return in(packet.Generate(r, nil))
			}
			tcp := rejected(ipproto.TCP, 80, 5000)
			expect(t, f, 0, tcp, noFlow)
			expect(t, f, 0, e.tcpOut(syn), none)
			expect(t, f, 1, tcp, none)
			expect(t, f, 1, rejected(ipproto.TCP, 80, 5001), noFlow)
			expect(t, f, 1, rejected(ipproto.UDP, 80, 5000), noFlow)
			expect(t, f, 1, rejected(ipproto.TCP, 5000, 80), noFlow)
			expect(t, f, 2, e.plainOut(ipproto.GRE), none)
			expect(t, f, 2, rejected(ipproto.GRE, 0, 0), none)
			expect(t, f, 2, e.pingOut(9), none)
			expect(t, f, 2, rejected(icmpOf(e), 9, 0), none)
			expect(t, f, 2, rejected(icmpOf(e), 0, 0), noFlow)
		})
	}
}
