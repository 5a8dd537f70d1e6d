package tstun_test

import (
	"net/netip"
	"testing"

	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/netlogtype"
	"tstun/packet"
)

// A record tells the rule that let its flow in, with the filter that did.
func TestRuleOfRecord(t *testing.T) {
	r := rig.New(t, 8)
	r.W.PeerAPIPort = func(netip.Addr) (uint16, bool) { return 999, true }
	web, dns := rig.To(rig.Port(80), ipproto.TCP), rig.To(rig.Port(53), ipproto.UDP)
	first := r.Allow(web, dns)
	r.W.SetFlowRecordsEnabled(true)
	query := craft.UDP(peer4, 5, host4, 53, "x")
	r.FromPeer(craft.TCP(peer4, 5, host4, 80, packet.TCPSyn, ""), query, craft.TCP(peer4, 5, host4, 999, packet.TCPSyn, ""))
	r.FromHost(craft.UDP(host4, 9, peer4, 53, "x"), craft.UDP(host4, 53, peer4, 6, "x"))
	conns := map[string]netlogtype.Connection{
		"web":                 rig.Connection(ipproto.TCP, host4, 80, peer4, 5),
		"dns":                 rig.Connection(ipproto.UDP, host4, 53, peer4, 5),
		"PeerAPI":             rig.Connection(ipproto.TCP, host4, 999, peer4, 5),
		"the host's":          rig.Connection(ipproto.UDP, host4, 9, peer4, 53),
		"of nobody knows who": rig.Connection(ipproto.UDP, host4, 53, peer4, 6),
	}
	check := func(f *filter.Filter, want map[string]int) {
		t.Helper()
		for name, c := range conns {
			got := recordOf(t, r.W, c)
			if n := got.Rule(f); n != want[name] {
				t.Errorf("%s: rule %d, want %d; %+v", name, n, want[name], got)
			}
		}
	}
	check(first, map[string]int{"web": 0, "dns": 1, "PeerAPI": -1, "the host's": -1, "of nobody knows who": 1})

	second, err := filter.New(filter.Config{Matches: []filter.Match{dns, web}, Local: rig.Local(), State: first.State()})
	if err != nil {
		t.Fatal(err)
	}
	r.W.SetFilter(second)
	r.FromPeer(query) // which second lets go on
	check(first, map[string]int{"web": 0, "dns": -1, "PeerAPI": -1, "the host's": -1, "of nobody knows who": 1})
	check(second, map[string]int{"web": -1, "dns": 0, "PeerAPI": -1, "the host's": -1, "of nobody knows who": -1})
}
