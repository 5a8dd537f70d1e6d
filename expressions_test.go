package tstun_test

import (
	"slices"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/flow"
	"tstun/flowexpr"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// What a Wrapper observes, and what it records, can be asked with one expression.
func TestExpressions(t *testing.T) {
	r := rig.New(t, 8)
	r.Allow(rig.To(rig.Port(80)))
	r.W.SetFlowRecordsEnabled(true)
	peers := map[string]flow.PeerID{"laptop": r.W.PeerOf(peer4)}
	texts := []string{
		"in and dst port 80 and accepted", "out and dst port 80", "src 100.64.0.2 and peer laptop", "dropped and reason no-rule",
		"udp and (dst port 53 or 5353)", "not peer laptop", "in and dropped and dst port 22",
	}
	var exprs []*flowexpr.Expr
	for _, text := range texts {
		e, err := flowexpr.Compile(text, flowexpr.Options{Peers: peers, Records: true})
		if err != nil {
			t.Fatal(err)
		}
		exprs = append(exprs, e)
	}
	packets := make([]int, len(exprs))
	r.W.SetCapture(func(o *tstun.Observation) {
		s := flowexpr.Packet(o.Parsed(), filter.Direction(o.Inbound), o.Verdict)
		for i, e := range exprs {
			if e.UsesPeer() {
				s.Peer = o.Peer()
			}
			if e.Match(&s) {
				packets[i]++
			}
		}
	})
	r.FromPeer(craft.TCP(peer4, 5, host4, 80, packet.TCPSyn, ""), craft.TCP(peer4, 5, host4, 22, packet.TCPSyn, ""))
	r.FromHost(craft.TCP(host4, 80, peer4, 5, packet.TCPSynAck, ""), craft.UDP(host6, 9, peer6, 53, "?"))
	r.FromPeer(craft.UDP(peer6, 53, host6, 9, "!"))
	if want := []int{1, 0, 2, 1, 1, 2, 1}; !slices.Equal(packets, want) {
		t.Errorf("packets that match: %v, want %v", packets, want)
	}

	records := make([]int, len(exprs))
	count := func(s flowexpr.Subject) {
		for i, e := range exprs {
			if e.Match(&s) {
				records[i]++
			}
		}
	}
	flows := r.W.Flows()
	for f := range flows.All {
		s := flowexpr.Flow(f.Proto, f.Src, f.Dst, f.Initiator)
		s.Peer = f.Peer
		count(s)
	}
	for f := range flows.Refused {
		s := flowexpr.Refused(f.Proto, f.Src, f.Dst, f.Direction, f.Reason)
		s.Peer = f.Peer
		count(s)
	}
	if want := []int{1, 0, 2, 1, 1, 1, 1}; !slices.Equal(records, want) {
		t.Errorf("records that match: %v, want %v", records, want)
	}
}
