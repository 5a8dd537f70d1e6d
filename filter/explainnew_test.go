package filter_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// answer is what is looked at of an Explanation.
type answer struct {
	reason filter.Reason
	stage  filter.Stage
	rule   int
	reply  bool // Answered
}

func answerOf(e filter.Explanation) answer { return answer{e.Reason, e.Stage, e.Rule, e.Answered} }

// What is open or revoked hides in ExplainPacket, and not in ExplainNew, what the rules
// say of a new flow between the same ends.
func TestExplainNewLooksPastOpenFlows(t *testing.T) {
	e := ends4(80, 5000)
	rules := []filter.Match{rule(port(81), ipproto.TCP), rule(port(80), ipproto.UDP, ipproto.ICMPv4)}
	var (
		byRule  = answer{none, filter.StageRules, 1, false}
		noRules = answer{noRule, filter.StageRules, -1, false}
		shields = answer{filter.ReasonShieldsUp, filter.StageShields, -1, false}
		out     = answer{none, filter.StageOut, -1, true}
		openIn  = answer{none, filter.StageFlow, -1, false}
		openOut = answer{none, filter.StageFlow, -1, true}
		cutIn   = answer{revoked, filter.StageFlow, -1, false}
		cutOut  = answer{none, filter.StageFlow, -1, false}
	)
	tests := []struct {
		name              string
		first             event
		flags             filter.RunFlags
		next              *filter.Config // of the filter in force afterwards
		proto             ipproto.Proto
		newIn, packetIn   answer
		newOut, packetOut answer
	}{
		{"nothing is open", event{}, 0, nil, ipproto.UDP, byRule, byRule, out, out},
		{"the peer's", e.udpIn(), 0, nil, ipproto.UDP, byRule, openIn, out, openOut},
		{"the host's, which no rule would let in", e.tcpOut(syn), 0, nil, ipproto.TCP, noRules, openIn, out, openOut},
		{"the host's, picked up", e.udpOut(), 0, nil, ipproto.UDP, byRule, openIn, out, openOut},
		{"revoked", e.udpIn(), 0, &filter.Config{}, ipproto.UDP, noRules, cutIn, out, cutOut},
		{"kept", e.udpIn(), 0, &filter.Config{Keep: true}, ipproto.UDP, noRules, openIn, out, openOut},
		{"revoked by shields", e.udpIn(), 0, &filter.Config{Matches: rules, ShieldsUp: true}, ipproto.UDP, shields, cutIn, out, cutOut},
		{"the host's, under shields", e.tcpOut(syn), 0, &filter.Config{ShieldsUp: true}, ipproto.TCP, shields, openIn, out, openOut},
		{"of a jailed peer, which opens nothing", e.udpIn(), filter.Jailed, nil, ipproto.UDP, byRule, byRule, out, out},
		{"exempt from the rules", e.tcpIn(syn), filter.Exempt, nil, ipproto.TCP, noRules, openIn, out, openOut},
		{"the peer's ping, whose identifier is its port", e.pingIn(5000), 0, nil, ipproto.ICMPv4, byRule, openIn, out, out},
		{"another ping of the peer's", e.pingIn(5001), 0, nil, ipproto.ICMPv4, byRule, byRule, out, out},
		{"the host's ping", e.pingOut(80), 0, nil, ipproto.ICMPv4, byRule, byRule, out, openOut},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFilter(t, filter.Config{Matches: rules})
			if tt.first.b != nil {
				judge(f, time.Duration(filter.Now()), tt.first, tt.flags)
			}
			if tt.next != nil {
				c := *tt.next
				c.State = f.State()
				f = newFilter(t, c)
			}
			before := f.State().Stats()
			for _, a := range []struct {
				name string
				got  filter.Explanation
				want answer
			}{
				{"a new flow, in", f.ExplainNew(filter.Inbound, e.peer, e.host, tt.proto), tt.newIn},
				{"a packet, in", f.ExplainPacket(filter.Inbound, e.peer, e.host, tt.proto), tt.packetIn},
				{"a new flow, out", f.ExplainNew(filter.Outbound, e.host, e.peer, tt.proto), tt.newOut},
				{"a packet, out", f.ExplainPacket(filter.Outbound, e.host, e.peer, tt.proto), tt.packetOut},
			} {
				if answerOf(a.got) != a.want || a.got.Text == "" || a.got.Response.IsDrop() != (a.want.reason != none) {
					t.Errorf("%s: got %+v, want %+v", a.name, a.got, a.want)
				}
			}
			if old := f.Explain(e.peer, e.host, tt.proto); old != f.ExplainPacket(filter.Inbound, e.peer, e.host, tt.proto) {
				t.Errorf("Explain says %+v", old)
			}
			if f.State().Stats() != before {
				t.Error("the state has changed")
			}
		})
	}
}

// What no packet is, no direction and no state lets through; a packet to its own sender
// goes out and does not come in.
func TestExplainNewHeaders(t *testing.T) {
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(filter.AllPorts)}})
	host, peer := addrPort(host4, 80), addrPort(peer4, 5000)
	tests := []struct {
		name          string
		host, peer    netip.AddrPort
		proto         ipproto.Proto
		inward, outer answer
	}{
		{"a later fragment", host, peer, ipproto.Fragment, answer{filter.ReasonMalformed, filter.StageForm, -1, false}, answer{filter.ReasonMalformed, filter.StageForm, -1, false}},
		{"no protocol", host, peer, ipproto.Unknown, answer{filter.ReasonMalformed, filter.StageForm, -1, false}, answer{filter.ReasonMalformed, filter.StageForm, -1, false}},
		{"no address", netip.AddrPort{}, peer, ipproto.UDP, answer{filter.ReasonMalformed, filter.StageForm, -1, false}, answer{filter.ReasonMalformed, filter.StageForm, -1, false}},
		{"two versions", host, addrPort(peer6, 1), ipproto.UDP, answer{filter.ReasonMalformed, filter.StageForm, -1, false}, answer{filter.ReasonMalformed, filter.StageForm, -1, false}},
		{"one host", host, addrPort(host4, 5000), ipproto.UDP, answer{filter.ReasonMartian, filter.StageAddress, -1, false}, answer{none, filter.StageOut, -1, true}},
		{"not local", addrPort("192.0.2.1", 80), peer, ipproto.UDP, answer{filter.ReasonNotLocal, filter.StageLocal, -1, false}, answer{none, filter.StageOut, -1, false}},
		{"loopback", host, addrPort("127.0.0.1", 1), ipproto.UDP, answer{filter.ReasonMartian, filter.StageAddress, -1, false}, answer{filter.ReasonMartian, filter.StageAddress, -1, false}},
		{"TSMP", host, peer, ipproto.TSMP, answer{noRule, filter.StageRules, -1, false}, answer{none, filter.StageOut, -1, false}},
		{"zones", addrPort(host6+"%eth0", 80), addrPort(peer6+"%eth1", 1), ipproto.UDP, answer{none, filter.StageRules, 0, false}, answer{none, filter.StageOut, -1, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, out := f.ExplainNew(filter.Inbound, tt.peer, tt.host, tt.proto), f.ExplainNew(filter.Outbound, tt.host, tt.peer, tt.proto)
			if answerOf(in) != tt.inward {
				t.Errorf("in: got %+v, want %+v", in, tt.inward)
			}
			if answerOf(out) != tt.outer {
				t.Errorf("out: got %+v, want %+v", out, tt.outer)
			}
			if p := f.ExplainPacket(filter.Inbound, tt.peer, tt.host, tt.proto); p != in {
				t.Errorf("of a packet in: got %+v, want %+v", p, in)
			}
			if p := f.ExplainPacket(filter.Outbound, tt.host, tt.peer, tt.proto); p != out {
				t.Errorf("of a packet out: got %+v, want %+v", p, out)
			}
		})
	}
}

// In any history of packets and filters, ExplainPacket says what the filter is about to
// do with a packet, and ExplainNew what one of the same configuration does that knows no
// flow.
func TestExplainIsWhatTheFilterDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 12))
	protos := []ipproto.Proto{ipproto.UDP, ipproto.GRE, ipproto.SCTP, ipproto.ICMPv4}
	hidden := 0
	for range 40 {
		var f *filter.Filter
		var c filter.Config
		set := func() {
			c = filter.Config{ShieldsUp: r.IntN(6) == 0, Keep: r.IntN(4) == 0}
			for range r.IntN(3) {
				c.Matches = append(c.Matches, rule(filter.AllPorts, protos[r.IntN(len(protos))]))
			}
			next := c
			if f != nil {
				next.State = f.State()
			}
			f = newFilter(t, next)
		}
		set()
		for range 80 {
			if r.IntN(10) == 0 {
				set()
			}
			e, proto := ends4(80+uint16(r.IntN(2)), 5000+uint16(r.IntN(2))), protos[r.IntN(len(protos))]
			id := uint16(r.IntN(2))
			if proto == ipproto.ICMPv4 {
				e = ends4(id, id)
			}
			ev, d, src, dst := e.first(proto, id), filter.Inbound, e.peer, e.host
			if r.IntN(2) == 0 {
				ev, d, src, dst = e.firstOut(proto, id), filter.Outbound, e.host, e.peer
			}
			// One filter for each packet: nothing is open in it.
			fresh := newFilter(t, c)
			now := time.Duration(filter.Now())
			for _, a := range []struct {
				name string
				got  filter.Explanation
				want filter.Verdict
			}{
				{"ExplainNew", f.ExplainNew(d, src, dst, proto), judge(fresh, now, ev, 0)},
				{"ExplainPacket", f.ExplainPacket(d, src, dst, proto), judge(f, now, ev, 0)},
			} {
				if a.got.Response != a.want.Response || a.got.Reason != a.want.Reason {
					t.Fatalf("%v %v %v > %v: %s says %+v, the filter %+v", d, proto, src, dst, a.name, a.got, a.want)
				}
				if a.got.Stage == filter.StageFlow {
					hidden++
				}
			}
		}
	}
	if hidden < 300 {
		t.Errorf("%d packets were of a known flow", hidden)
	}
}

// first returns a packet of proto from the peer, that may begin a flow.
func (e pair) first(proto ipproto.Proto, id uint16) event {
	switch proto {
	case ipproto.UDP:
		return e.udpIn()
	case ipproto.SCTP:
		return e.sctpIn()
	case ipproto.ICMPv4:
		return e.pingIn(id)
	}
	return e.plainIn(proto)
}

// firstOut is first, from the host.
func (e pair) firstOut(proto ipproto.Proto, id uint16) event {
	switch proto {
	case ipproto.UDP:
		return e.udpOut()
	case ipproto.SCTP:
		return e.sctpOut()
	case ipproto.ICMPv4:
		return e.pingOut(id)
	}
	return e.plainOut(proto)
}

// Nearest answers also where the flow never gets as far as the rules, and not where one
// allows it.
func TestNearest(t *testing.T) {
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80), ipproto.UDP), rule(port(81), ipproto.TCP)}, ShieldsUp: true})
	peer := addrPort(peer4, 1)
	n, ok := f.Nearest(peer, addrPort(host4, 80), ipproto.TCP)
	want := filter.Nearest{Rule: 1, Text: rule(port(81), ipproto.TCP).String(), Lacks: filter.LackPort, Why: "port 80 is not in 81"}
	if !ok || n != want || n.String() != "rule 1 comes nearest: port 80 is not in 81" {
		t.Errorf("got %+v, %v, want %+v", n, ok, want)
	}
	if n, ok := f.Nearest(peer, addrPort(host4, 81), ipproto.TCP); ok || !n.IsZero() || n.String() != "" {
		t.Errorf("a flow that a rule allows: %+v", n)
	}
	six, ok := f.Nearest(addrPort(peer6+"%eth0", 1), addrPort(host6+"%eth0", 80), ipproto.UDP)
	if ok {
		t.Errorf("a flow that a rule allows, with zones: %+v", six)
	}
	if n, ok := filter.NewAllowNone(nil).Nearest(peer, peer, ipproto.TCP); ok {
		t.Errorf("without rules: %+v", n)
	}
}

// A flow that the host has open says nothing about what a peer may begin.
func ExampleFilter_ExplainNew() {
	f, err := filter.New(filter.Config{
		Local:   nets("100.64.0.1/32"),
		Matches: []filter.Match{{Srcs: nets("100.64.0.0/10"), Dsts: to(filter.PortRange{First: 80, Last: 80}, "100.64.0.1/32")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	host, peer := netip.MustParseAddrPort("100.64.0.1:22"), netip.MustParseAddrPort("100.64.0.2:5000")
	var p packet.Parsed
	p.Decode(packet.Generate(packet.TCPHeader{Src: host, Dst: peer, Flags: packet.TCPSyn}, nil))
	f.RunOut(&p, 0) // the host begins a flow

	fmt.Println(f.ExplainPacket(filter.Inbound, peer, host, ipproto.TCP))
	e := f.ExplainNew(filter.Inbound, peer, host, ipproto.TCP)
	fmt.Println(e)
	fmt.Println(e.Nearest.Rule, e.Nearest.Lacks, "-", e.Nearest.Text)
	fmt.Println(f.ExplainNew(filter.Outbound, host, peer, ipproto.TCP))
	// Output:
	// accept (flow): The packet belongs to an open flow, which the host opened.
	// drop (rules): No rule allows this new flow.
	// rule 0 comes nearest: port 22 is not in 80
	// 0 port - tcp,udp,icmpv4,icmpv6 from 100.64.0.0/10 to 100.64.0.1/32:80
	// accept (out): The host opens this flow: it goes out, which needs no rule, and its answers come in.
}
