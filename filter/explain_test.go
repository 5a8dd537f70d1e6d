package filter_test

import (
	"fmt"
	"net/netip"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

func TestExplain(t *testing.T) {
	web := filter.Match{
		IPProto: []ipproto.Proto{ipproto.TCP},
		Srcs:    nets("100.64.0.0/10"),
		Dsts:    append(to(port(80), host4+"/32"), to(port(443), host4+"/32")...),
	}
	other := filter.Match{Srcs: nets("10.0.0.0/8"), Dsts: to(filter.AllPorts, "10.0.0.0/8")}
	rules := []filter.Match{other, web}
	f := newFilter(t, filter.Config{Matches: rules, Local: nets("100.64.0.1/32", "fd7a::1/128", "10.0.0.1/32")})
	shut := newFilter(t, filter.Config{Matches: []filter.Match{web}, ShieldsUp: true})
	six := newFilter(t, filter.Config{Matches: []filter.Match{{
		IPProto: []ipproto.Proto{ipproto.UDP}, Srcs: nets("::/0"), Dsts: to(port(80), host6+"/128"),
	}}})
	tests := []struct {
		name     string
		f        *filter.Filter
		src, dst string
		proto    ipproto.Proto
		want     filter.Explanation
	}{
		{"allowed", f, "100.64.0.2:1", "100.64.0.1:443", ipproto.TCP, filter.Explanation{
			Response: filter.Accept, Stage: filter.StageRules, Rule: 1,
			Text: "tcp from 100.64.0.0/10 to 100.64.0.1/32:80, 100.64.0.1/32:443"}},
		{"port", f, "100.64.0.2:1", "100.64.0.1:22", ipproto.TCP, filter.Explanation{
			Reason: filter.ReasonNoRule, Stage: filter.StageRules, Rule: -1,
			Nearest: filter.Nearest{Rule: 1, Lacks: filter.LackPort, Why: "port 22 is not in 80,443"}}},
		{"protocol", f, "100.64.0.2:1", "100.64.0.1:80", ipproto.UDP, filter.Explanation{
			Reason: filter.ReasonNoRule, Stage: filter.StageRules, Rule: -1,
			Nearest: filter.Nearest{Rule: 1, Lacks: filter.LackProtocol, Why: "protocol udp is not in tcp"}}},
		{"source", f, "192.0.2.1:1", "10.0.0.1:80", ipproto.TCP, filter.Explanation{
			Reason: filter.ReasonNoRule, Stage: filter.StageRules, Rule: -1,
			Nearest: filter.Nearest{Rule: 0, Lacks: filter.LackSource, Why: "source 192.0.2.1 is not in 10.0.0.0/8"}}},
		{"destination", f, "10.1.1.1:1", "[fd7a::1]:80", ipproto.TCP, filter.Explanation{
			Response: filter.DropSilently, Reason: filter.ReasonMalformed, Stage: filter.StageForm, Rule: -1}},
		{"nothing near", f, "[fd7a::2]:1", "[fd7a::1]:80", ipproto.TCP, filter.Explanation{
			Reason: filter.ReasonNoRule, Stage: filter.StageRules, Rule: -1}},
		{"not local", f, "100.64.0.2:1", "100.64.0.9:80", ipproto.TCP, filter.Explanation{
			Reason: filter.ReasonNotLocal, Stage: filter.StageLocal, Rule: -1}},
		{"address", f, "127.0.0.1:1", "100.64.0.1:80", ipproto.TCP, filter.Explanation{
			Response: filter.DropSilently, Reason: filter.ReasonMartian, Stage: filter.StageAddress, Rule: -1}},
		{"zones", f, "[fd7a::2%eth0]:1", "[fd7a::1%eth1]:80", ipproto.UDP, filter.Explanation{
			Reason: filter.ReasonNoRule, Stage: filter.StageRules, Rule: -1}},
		{"zones, allowed", six, "[fd7a::2%eth0]:1", "[fd7a::1%eth1]:80", ipproto.UDP, filter.Explanation{
			Response: filter.Accept, Stage: filter.StageRules, Rule: 0,
			Text: "udp from ::/0 to [fd7a::1/128]:80"}},
		{"shields", shut, "100.64.0.2:1", "100.64.0.1:80", ipproto.TCP, filter.Explanation{
			Reason: filter.ReasonShieldsUp, Stage: filter.StageShields, Rule: -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, dst := netip.MustParseAddrPort(tt.src), netip.MustParseAddrPort(tt.dst)
			if n := &tt.want.Nearest; !n.IsZero() {
				n.Text = rules[n.Rule].String()
			}
			if tt.want.Text == "" {
				tt.want.Text = tt.want.Reason.Explain()
			}
			got := tt.f.Explain(src, dst, tt.proto)
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			if r := tt.f.Check(src.Addr(), dst.Addr(), dst.Port(), tt.proto); r != got.Response {
				t.Errorf("Check says %v, Explain %v", r, got.Response)
			}
			if got.String() == "" {
				t.Error("no words")
			}
		})
	}
}

func TestExplainOpenFlows(t *testing.T) {
	e := ends4(80, 5000)
	run := func(f *filter.Filter, evs ...event) {
		for _, ev := range evs {
			var p packet.Parsed
			p.Decode(ev.b)
			if ev.out {
				f.RunOut(&p, 0)
			} else {
				f.RunIn(&p, 0)
			}
		}
	}
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80), ipproto.UDP)}})
	run(f, e.udpIn(), e.tcpOut(syn))
	f = newFilter(t, filter.Config{State: f.State()})
	for proto, want := range map[ipproto.Proto]filter.Reason{ipproto.TCP: none, ipproto.UDP: revoked, ipproto.SCTP: noRule} {
		got := f.Explain(e.peer, e.host, proto)
		if got.Reason != want || (got.Stage == filter.StageFlow) != (want != noRule) {
			t.Errorf("%v: %+v, want reason %v", proto, got, want)
		}
		// Check is about new flows.
		if r := f.Check(e.peer.Addr(), e.host.Addr(), 80, proto); r != filter.Drop {
			t.Errorf("Check of %v: %v", proto, r)
		}
	}
	before := f.State().Stats()
	f.Explain(e.peer, e.host, ipproto.UDP)
	if f.State().Stats() != before {
		t.Error("Explain changed the state")
	}
}

// Any pair of addresses is accepted.
func TestCheckAnyAddresses(t *testing.T) {
	f := filter.NewAllowAll(nil)
	addrs := []netip.Addr{{}, addr("0.0.0.0"), addr("1.2.3.4"), addr("::"), addr("::ffff:1.2.3.4"),
		addr("fe80::1%eth0"), addr("2001:db8::1"), addr("2001:db8::1%zone"), addr("ff02::1"), addr("255.255.255.255")}
	for _, src := range addrs {
		for _, dst := range addrs {
			for proto := range 256 {
				p := ipproto.Proto(proto)
				r := f.Check(src, dst, 80, p)
				e := f.Explain(netip.AddrPortFrom(src, 1), netip.AddrPortFrom(dst, 80), p)
				toItself := src.WithZone("").Unmap() == dst.WithZone("").Unmap() // which Check is not about
				if r != e.Response && !(toItself && e.Reason == filter.ReasonMartian) {
					t.Fatalf("%v to %v, %v: Check %v, Explain %v", src, dst, p, r, e.Response)
				}
			}
		}
	}
	if r := f.Check(addr("1.2.3.4"), addr("5.6.7.8"), 80, ipproto.TCP); r != filter.Accept {
		t.Errorf("an ordinary flow: %v", r)
	}
}

func ExampleFilter_Explain() {
	f, err := filter.New(filter.Config{
		Local: nets("100.64.0.1/32"),
		Matches: []filter.Match{{
			IPProto: []ipproto.Proto{ipproto.TCP},
			Srcs:    nets("100.64.0.0/10"),
			Dsts:    to(filter.PortRange{First: 80, Last: 443}, "100.64.0.1/32"),
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	peer := netip.MustParseAddrPort("100.64.0.2:5000")
	fmt.Println(f.Explain(peer, netip.MustParseAddrPort("100.64.0.1:443"), ipproto.TCP))
	fmt.Println(f.Explain(peer, netip.MustParseAddrPort("100.64.0.1:22"), ipproto.TCP))
	// Output:
	// accept (rules): rule 0: tcp from 100.64.0.0/10 to 100.64.0.1/32:80-443
	// drop (rules): No rule allows this new flow.
	// rule 0 comes nearest: port 22 is not in 80-443
}
