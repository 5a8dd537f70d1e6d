package filter_test

import (
	"testing"
	"time"

	"tstun/filter"
	"tstun/ipproto"
)

// ExplainPacket says of outbound packets what the filter then does with them and
// with the answers to them.
func TestExplainOut(t *testing.T) {
	const foreign = "203.0.113.9"
	e4, e6 := ends4(5000, 53), ends6(5000, 53)
	to := func(peer string) pair { return pair{e4.host, addrPort(peer, 53)} }
	back := func(e pair, proto ipproto.Proto) event {
		switch proto {
		case ipproto.UDP:
			return e.udpIn()
		case ipproto.TCP:
			return e.tcpIn(syn | ack)
		case ipproto.ICMPv4, ipproto.ICMPv6:
			return e.pongIn(e.host.Port())
		}
		return e.plainIn(proto)
	}
	forth := func(e pair, proto ipproto.Proto) event {
		switch proto {
		case ipproto.UDP:
			return e.udpOut()
		case ipproto.TCP:
			return e.tcpOut(syn)
		case ipproto.ICMPv4, ipproto.ICMPv6:
			return e.pingOut(e.host.Port())
		}
		return e.plainOut(proto)
	}
	tests := []struct {
		name   string
		c      filter.Config
		e      pair
		proto  ipproto.Proto
		reason filter.Reason
		stage  filter.Stage
		answer bool
	}{
		{"tcp", filter.Config{}, e4, ipproto.TCP, none, filter.StageOut, true},
		{"tcp, IPv6", filter.Config{}, e6, ipproto.TCP, none, filter.StageOut, true},
		{"udp", filter.Config{}, e4, ipproto.UDP, none, filter.StageOut, true},
		{"ping", filter.Config{}, e4, ipproto.ICMPv4, none, filter.StageOut, true},
		{"ping, IPv6", filter.Config{}, e6, ipproto.ICMPv6, none, filter.StageOut, true},
		{"gre", filter.Config{}, e4, ipproto.GRE, none, filter.StageOut, true},
		{"shields do not matter", filter.Config{ShieldsUp: true}, e4, ipproto.TCP, none, filter.StageOut, true},
		{"multicast", filter.Config{}, to("224.0.0.251"), ipproto.UDP, filter.ReasonMulticast, filter.StageAddress, false},
		{"multicast, permitted", filter.Config{Permit: filter.Permit{Multicast: true}}, to("224.0.0.251"), ipproto.UDP, none, filter.StageOut, false},
		{"martian", filter.Config{}, to("127.0.0.1"), ipproto.TCP, filter.ReasonMartian, filter.StageAddress, false},
		{"link-local", filter.Config{}, to("169.254.1.1"), ipproto.TCP, filter.ReasonLinkLocal, filter.StageAddress, false},
		{"a source that is not local", filter.Config{}, pair{addrPort(foreign, 5000), e4.peer}, ipproto.UDP, none, filter.StageOut, false},
		{"TSMP", filter.Config{}, e4, ipproto.TSMP, none, filter.StageOut, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFilter(t, tt.c)
			before := f.State().Stats()
			got := f.ExplainPacket(filter.Outbound, tt.e.host, tt.e.peer, tt.proto)
			if got.Reason != tt.reason || got.Stage != tt.stage || got.Answered != tt.answer || got.Rule != -1 || !got.Nearest.IsZero() || got.Text == "" {
				t.Errorf("got %+v", got)
			}
			if f.State().Stats() != before {
				t.Error("ExplainPacket changed the state")
			}
			v := judge(f, 0, forth(tt.e, tt.proto), 0)
			if v.Response != got.Response || v.Reason != got.Reason {
				t.Errorf("the filter says %+v of the packet, ExplainPacket %v, %v", v, got.Response, got.Reason)
			}
			if tt.e.peer.Addr().IsMulticast() || tt.proto == ipproto.TSMP {
				return // there is no answer to try
			}
			if in := judge(f, time.Millisecond, back(tt.e, tt.proto), 0); (in.Response == filter.Accept) != got.Answered {
				t.Errorf("the filter says %+v of the answer, ExplainPacket %+v", in, got)
			}
		})
	}
}

// Of what is open, ExplainPacket says of outbound packets who opened it; what was
// revoked goes out and is not answered.
func TestExplainOutOpenFlows(t *testing.T) {
	e := ends4(80, 5000)
	allow := filter.Config{Matches: []filter.Match{rule(port(80), ipproto.UDP)}}
	f := newFilter(t, allow)
	now := time.Duration(filter.Now())
	judge(f, now, e.udpIn(), 0)
	got := f.ExplainPacket(filter.Outbound, e.host, e.peer, ipproto.UDP)
	if got.Stage != filter.StageFlow || !got.Answered || got.Text != "The packet belongs to an open flow, which the peer opened." {
		t.Errorf("open: %+v", got)
	}
	f = newFilter(t, filter.Config{State: f.State()})
	got = f.ExplainPacket(filter.Outbound, e.host, e.peer, ipproto.UDP)
	if got.Response != filter.Accept || got.Stage != filter.StageFlow || got.Answered {
		t.Errorf("revoked: %+v", got)
	}
	if v := judge(f, now, e.udpOut(), 0); v.Response != filter.Accept {
		t.Errorf("revoked: the host's packet: %+v", v)
	}
	if v := judge(f, now, e.udpIn(), 0); v.Reason != revoked {
		t.Errorf("revoked: the answer: %+v", v)
	}
}

// Any pair of addresses is accepted, and judged as Out judges a packet.
func TestExplainOutAnyAddresses(t *testing.T) {
	f := filter.NewAllowNone(nil)
	for _, src := range []string{"0.0.0.0", "1.2.3.4", "::", "::ffff:1.2.3.4", "fe80::1%eth0", "2001:db8::1", "ff02::1", "255.255.255.255"} {
		for _, dst := range []string{"1.2.3.5", "2001:db8::2", "::1", "224.0.0.1", "240.0.0.1"} {
			for proto := range 256 {
				got := f.ExplainPacket(filter.Outbound, addrPort(src, 1), addrPort(dst, 80), ipproto.Proto(proto))
				if (got.Response == filter.Accept) != (got.Reason == none) || got.Answered && got.Response != filter.Accept {
					t.Fatalf("%s to %s, %d: %+v", src, dst, proto, got)
				}
			}
		}
	}
}
