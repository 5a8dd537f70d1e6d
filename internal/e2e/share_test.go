package e2e_test

import (
	"net/netip"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

var otherPeer4 = netip.MustParseAddr("100.64.0.3")

// behind is a Peer of the addresses.
func behind(id uint64, addrs ...netip.Addr) tstun.Peer {
	return tstun.Peer{ID: id, Prefixes: rig.Local(addrs...)}
}

// TestLesson26OnePeersRefusalsLeaveAnswersForOthers: behind thousands of
// refusals of one peer, which nobody reads, another one's ping is answered.
func TestLesson26OnePeersRefusalsLeaveAnswersForOthers(t *testing.T) {
	for _, known := range []bool{false, true} {
		r := rig.New(t, 1)
		r.Allow(rig.To(rig.Port(80)))
		r.W.SetReject(tstun.RejectReset)
		if known {
			if err := r.W.SetPeers([]tstun.Peer{behind(1, peer4, peer6), behind(2, otherPeer4)}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3000 {
			r.FromPeer(craft.TCP(peer4, uint16(i), host4, 81, packet.TCPSyn, ""))
			if known { // one peer, whatever address it uses
				r.FromPeer(craft.TCP(peer6, uint16(i), host6, 81, packet.TCPSyn, ""))
			}
		}
		r.FromPeer(craft.TSMPPing(otherPeer4, host4))
		pongs, toFlooder := 0, 0
		for _, b := range r.Queued() {
			switch p := rig.Parse(t, b); {
			case p.Dst.Addr() != otherPeer4:
				toFlooder++
			case p.Proto() == ipproto.TSMP:
				pongs++
			}
		}
		if pongs != 1 || toFlooder == 0 || toFlooder > 256 {
			t.Errorf("known peers %v: %d pongs, %d answers to the peer that floods", known, pongs, toFlooder)
		}
	}
}

// TestLesson26OnePeersPingsLeaveStatisticsForOthers: a peer that pings any
// number of addresses without a rule does not use up the connections that are
// counted apart.
func TestLesson26OnePeersPingsLeaveStatisticsForOthers(t *testing.T) {
	r := rig.New(t, 1)
	r.Allow(rig.Everything())
	r.W.SetStatisticsEnabled(true)
	for i := range 100_000 {
		dst := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		r.FromPeer(craft.TSMPPing(peer4, dst))
	}
	r.FromPeer(craft.UDP(otherPeer4, 1, host4, 2, "x"))
	got := r.W.ExtractStatistics()
	if n := got[rig.Connection(ipproto.UDP, host4, 2, otherPeer4, 1)]; n.RxPackets != 1 {
		t.Errorf("the other peer's connection is not counted apart: %+v", n)
	}
	var packets uint64
	for _, n := range got {
		packets += n.RxPackets
	}
	if packets != 100_001 {
		t.Errorf("%d packets in all, want 100001", packets)
	}
}

// TestPeersHaveIDs: no two peers have one ID.
func TestPeersHaveIDs(t *testing.T) {
	r := rig.New(t, 1)
	if err := r.W.SetPeers([]tstun.Peer{behind(1, peer4), behind(1, peer6)}); err == nil {
		t.Error("one ID for two peers is accepted")
	}
	if err := r.W.SetPeers([]tstun.Peer{behind(0, peer4), behind(0, peer6), {}}); err != nil {
		t.Errorf("peers without ID: %v", err)
	}
}

// TestLesson27WhatSpeaksAboutAFlowComesFromItsPeer: once peers are known, ICMP
// errors about the flow of one peer are not believed from another, jailed or
// not. (A TSMP rejection names the flow by its own source.)
func TestLesson27WhatSpeaksAboutAFlowComesFromItsPeer(t *testing.T) {
	router := netip.MustParseAddr("192.0.2.77")
	query := craft.UDP(host4, 4000, peer4, 53, "x")
	errorFrom := func(src netip.Addr) []byte {
		return packet.Generate(packet.ICMPHeader{Src: src, Dst: host4, Type: 3, Code: 4}, query)
	}
	tests := []struct {
		name  string
		peers []tstun.Peer
		from  netip.Addr
		want  filter.Reason
	}{
		{"nobody is known", nil, router, filter.ReasonNone},
		{"the peer itself", []tstun.Peer{behind(1, peer4), behind(2, otherPeer4)}, peer4, filter.ReasonNone},
		{"a router behind the peer", []tstun.Peer{behind(1, peer4, router), behind(2, otherPeer4)}, router, filter.ReasonNone},
		{"another peer", []tstun.Peer{behind(1, peer4), behind(2, otherPeer4)}, otherPeer4, filter.ReasonNoFlow},
		{"a jailed peer", []tstun.Peer{behind(1, peer4), {ID: 2, Prefixes: rig.Local(otherPeer4), Jailed: true}}, otherPeer4, filter.ReasonNoFlow},
		{"no peer", []tstun.Peer{behind(1, peer4)}, router, filter.ReasonNoFlow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := rig.New(t, 1)
			r.Allow()
			if err := r.W.SetPeers(tt.peers); err != nil {
				t.Fatal(err)
			}
			r.FromHost(query)
			b := errorFrom(tt.from)
			if tt.want == filter.ReasonNone {
				rig.WantPackets(t, "to the host", r.FromPeer(b), b)
				return
			}
			r.WantDrop(true, tt.want, func() { r.FromPeer(b) })
		})
	}
}

// TestPacketToItself: nothing that claims to come from its own destination
// passes, whatever is allowed.
func TestPacketToItself(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, _ netip.Addr) {
		r := rig.New(t, 1)
		f, err := filter.New(filter.Config{Matches: []filter.Match{rig.Everything()}, Local: rig.Local(), Permit: filter.Permit{Martian: true}, LooseTCP: true})
		if err != nil {
			t.Fatal(err)
		}
		r.W.SetFilter(f)
		for _, b := range [][]byte{craft.TCP(host, 80, host, 80, packet.TCPSyn, ""), craft.TCP(host, 80, host, 81, packet.TCPAck, ""),
			craft.UDP(host, 80, host, 80, "x"), craft.Echo(host, host, 1, false)} {
			r.FromHost(craft.UDP(host, 80, host, 80, "x"))
			r.WantDrop(true, filter.ReasonMartian, func() { r.FromPeer(b) })
		}
	})
}
