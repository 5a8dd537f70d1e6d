package flowexpr_test

import (
	"net/netip"
	"testing"

	"tstun/filter"
	"tstun/flow"
	"tstun/flowexpr"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

var (
	anyHost = netip.AddrPortFrom(craft.Host4, 22)
	anyPeer = netip.AddrPortFrom(craft.Peer4, 40000)

	accepted = filter.Verdict{Response: filter.Accept}
	refused  = filter.Verdict{Response: filter.DropSilently, Reason: filter.ReasonNoRule}
)

func packetOf(b []byte, d filter.Direction, v filter.Verdict) flowexpr.Subject {
	var p packet.Parsed
	p.Decode(b)
	return flowexpr.Packet(&p, d, v)
}

func withPeer(s flowexpr.Subject, id flow.PeerID) flowexpr.Subject {
	s.Peer = id
	return s
}

// TestMatch: the tests that tcpdump has not, and what each kind of Subject says to those
// that it has. Of random packets, TestOracle says the rest.
func TestMatch(t *testing.T) {
	tcp := craft.TCP(craft.Peer4, 40000, craft.Host4, 22, packet.TCPSyn, "")
	udp6 := craft.UDP(craft.Host6, 5353, craft.Peer6, 53, "?")
	handled := filter.Verdict{Response: filter.Handled}
	peers := flowexpr.Flow(ipproto.TCP, anyHost, anyPeer, filter.InitiatorPeer)
	hosts := flowexpr.Flow(ipproto.TCP, anyHost, anyPeer, filter.InitiatorHost)
	unknown := flowexpr.Flow(ipproto.TCP, anyHost, anyPeer, filter.InitiatorUnknown)
	ping := flowexpr.Flow(ipproto.ICMPv4, netip.AddrPortFrom(craft.Host4, 0), netip.AddrPortFrom(craft.Peer4, 0), filter.InitiatorHost)
	scan := flowexpr.Refused(0, netip.AddrPort{}, netip.AddrPortFrom(craft.Peer4, 0), filter.Inbound, filter.ReasonNoRule)
	tests := []struct {
		name    string
		in      flowexpr.Subject
		yes, no []string
	}{
		{"packet in", packetOf(tcp, filter.Inbound, accepted),
			[]string{"", "in", "accepted", "src host 100.64.0.2 and dst port ssh", "tcp", "ip", "peer laptop or in", "len = 40"},
			[]string{"out", "dropped", "reason no-rule", "src port 22", "udp port 22", "peer laptop", "ip6"}},
		{"packet out, dropped", withPeer(packetOf(udp6, filter.Outbound, refused), 2),
			[]string{"out", "dropped", "reason no-rule", "reason hook or no-rule", `peer "my phone"`, "not peer laptop", "src net fd7a::/16 and udp dst port domain"},
			[]string{"in", "accepted", "reason hook", "peer laptop", "dst port 5353", "ip", "net 0.0.0.0/0"}},
		{"a hook took it", packetOf(tcp, filter.Inbound, handled), []string{"accepted"}, []string{"dropped"}},
		{"malformed", packetOf([]byte{0x45, 0}, filter.Inbound, filter.Verdict{Reason: filter.ReasonMalformed}),
			[]string{"dropped", "reason malformed", "in", "len = 2", "not ip and not ip6", "not net 0/0", "not port 0"},
			[]string{"ip", "ip6", "net 0/0 or ::/0", "port 0", "tcp"}},
		{"no packet", flowexpr.Subject{}, []string{"accepted"}, []string{"in", "out", "ip", "dropped", "len >= 0", "net 0/0 or ::/0"}},
		{"the peer's flow", withPeer(peers, 1),
			[]string{"in", "accepted", "src host 100.64.0.2 and src port 40000 and dst host 100.64.0.1 and dst port ssh", "tcp", "ip", "peer laptop"},
			[]string{"out", "dropped", "src port 22", "udp", "less 100", "greater 0", `peer "my phone"`}},
		{"the host's flow", hosts, []string{"out", "src port 22", "dst port 40000", "src 100.64.0.1"}, []string{"in", "dst port 22"}},
		{"nobody's flow", unknown, []string{"src port 22", "accepted"}, []string{"in", "out", "dst port 22"}},
		{"ping", ping, []string{"icmp", "host 100.64.0.1"}, []string{"port 0", "icmp6", "tcp"}},
		{"refused", flowexpr.Refused(ipproto.TCP, anyHost, anyPeer, filter.Inbound, filter.ReasonShieldsUp),
			[]string{"in", "dropped", "reason shields-up", "dst port 22", "src 100.64.0.2"}, []string{"out", "accepted", "reason no-rule", "src port 22"}},
		{"refused, out", flowexpr.Refused(ipproto.TCP, anyHost, anyPeer, filter.Outbound, filter.ReasonMartian),
			[]string{"out", "dropped", "src port 22"}, []string{"in", "dst port 22"}},
		{"many refused", scan, []string{"src 100.64.0.2", "ip", "in"}, []string{"tcp", "dst net 0/0", "src and dst net 0/0", "port 0", "ip6"}},
		{"source not known", flowexpr.Refused(0, anyHost, netip.AddrPort{}, filter.Inbound, filter.ReasonNoRule), []string{"dst 100.64.0.1", "ip"}, []string{"src net 0/0"}},
	}
	for _, tt := range tests {
		for _, text := range tt.yes {
			if !compile(t, text).Match(&tt.in) {
				t.Errorf("%s: %q is not true", tt.name, text)
			}
		}
		for _, text := range tt.no {
			if compile(t, text).Match(&tt.in) {
				t.Errorf("%s: %q is true", tt.name, text)
			}
		}
	}
}

// TestFragments: ports are those of the first fragment alone, in IPv6 too.
func TestFragments(t *testing.T) {
	for _, whole := range [][]byte{
		craft.Datagram(craft.Host4, 1000, craft.Peer4, 53, 100), craft.Datagram(craft.Host6, 1000, craft.Peer6, 53, 100),
	} {
		first := packetOf(craft.Fragment(whole, 0, 48, true), filter.Outbound, accepted)
		later := packetOf(craft.Fragment(whole, 48, 60, false), filter.Outbound, accepted)
		for text, want := range map[string][2]bool{"udp port 53": {true, false}, "port 53": {true, false}, "udp": {true, true}, "not port 53": {false, true}} {
			e := compile(t, text)
			if got := [2]bool{e.Match(&first), e.Match(&later)}; got != want {
				t.Errorf("%s of IPv%d: %v, want %v", text, whole[0]>>4, got, want)
			}
		}
	}
}

func TestUsesPeer(t *testing.T) {
	for text, want := range map[string]bool{"": false, "tcp": false, "peer laptop": true, "tcp or not (udp and peer laptop)": true} {
		if got := compile(t, text).UsesPeer(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestZeroExpr: the zero Expr is that of the empty text.
func TestZeroExpr(t *testing.T) {
	var e flowexpr.Expr
	s := packetOf(nil, filter.Inbound, refused)
	if !e.Match(&s) || e.String() != "" || e.UsesPeer() {
		t.Errorf("%q", e.String())
	}
}

// TestNoAllocation: neither Packet nor Match allocates, with a Subject of each call's own.
func TestNoAllocation(t *testing.T) {
	var p packet.Parsed
	p.Decode(craft.TCP(craft.Peer4, 40000, craft.Host4, 22, packet.TCPSyn, ""))
	e := compile(t, "in and not (src net 10.0.0.0/8 or fd00::/8) and tcp dst port 443 or 22 and (peer laptop or reason no-rule or accepted)")
	matches := 0
	n := testing.AllocsPerRun(100, func() {
		s := flowexpr.Packet(&p, filter.Inbound, accepted)
		s.Peer = 7
		if e.Match(&s) {
			matches++
		}
		s = flowexpr.Flow(ipproto.TCP, anyHost, anyPeer, filter.InitiatorPeer)
		if e.Match(&s) {
			matches++
		}
	})
	if n != 0 || matches < 200 {
		t.Errorf("%v allocations, %d matches", n, matches)
	}
}

// BenchmarkMatch measures one match of a packet that is decoded, with and without the
// making of its Subject.
func BenchmarkMatch(b *testing.B) {
	var p packet.Parsed
	p.Decode(craft.TCP(craft.Peer4, 40000, craft.Host4, 22, packet.TCPSyn, ""))
	tests := []struct{ name, text string }{
		{"dropped", "dropped"},
		{"port", "tcp port 443"},
		{"net", "src net 100.64.0.0/10"},
		{"both", "src net 100.64.0.0/10 and tcp dst port 22"},
		{"long", "in and not (src net 10.0.0.0/8 or fd00::/8) and tcp dst port 443 or 22 and (peer laptop or reason no-rule or accepted)"},
		{"ports", "tcp dst port 1 or 2 or 3 or 4 or 5 or 6 or 7 or 8 or 9 or 10 or 11 or 12 or 13 or 14 or 15 or 16"},
	}
	for _, tt := range tests {
		e := compile(b, tt.text)
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			s := flowexpr.Packet(&p, filter.Inbound, accepted)
			for b.Loop() {
				e.Match(&s)
			}
		})
		b.Run(tt.name+"/subject", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := flowexpr.Packet(&p, filter.Inbound, accepted)
				e.Match(&s)
			}
		})
	}
}
