package tstun_test

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/netlogtype"
	"tstun/packet"
)

// recordOf returns the record of the one flow of the connection.
func recordOf(t *testing.T, w *tstun.Wrapper, c netlogtype.Connection) (found tstun.FlowRecord) {
	t.Helper()
	n := 0
	for r := range w.Flows().All {
		if r.Connection == c {
			found = r
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%d records of %v, want 1", n, c)
	}
	return found
}

func refusedOf(w *tstun.Wrapper) []tstun.RefusedRecord { return slices.Collect(w.Flows().Refused) }

// wantAddedUp checks that the records and the rest are the counters, and that the rest
// is not more than these.
func wantAddedUp(t *testing.T, s *tstun.FlowSnapshot) {
	t.Helper()
	in, out := s.Rest.In, s.Rest.Out
	for r := range s.All {
		in.Packets, in.Bytes = in.Packets+r.RxPackets, in.Bytes+r.RxBytes
		out.Packets, out.Bytes = out.Packets+r.TxPackets, out.Bytes+r.TxBytes
	}
	if in.Packets != s.Counters.In.Packets || in.Bytes != s.Counters.In.Bytes || out.Packets != s.Counters.Out.Packets || out.Bytes != s.Counters.Out.Bytes {
		t.Errorf("records and rest are %+v and %+v, counters %+v", in, out, s.Counters)
	}
	if s.Rest.In.Packets > s.Counters.In.Packets || s.Rest.Out.Packets > s.Counters.Out.Packets {
		t.Errorf("records have more than the counters: rest %+v, counters %+v", s.Rest, s.Counters)
	}
	drops := [2]map[filter.Reason]uint64{{}, {}}
	for r := range s.Refused {
		way := 0
		if r.Direction == filter.Inbound {
			way = 1
		}
		drops[way][r.Reason] += r.Packets
	}
	for way, c := range []tstun.DirectionCounters{s.Counters.Out, s.Counters.In} {
		rest := []tstun.DirectionCounters{s.Rest.Out, s.Rest.In}[way]
		for reason, n := range c.Drops {
			if drops[way][reason]+rest.Drops[reason] != n || rest.Drops[reason] > n {
				t.Errorf("%v: %d in records, %d in the rest, %d counted", reason, drops[way][reason], rest.Drops[reason], n)
			}
		}
	}
}

func TestFlowRecord(t *testing.T) {
	r := rig.New(t, 8)
	f := r.Allow(rig.To(rig.Port(80)))
	r.W.SetFlowRecordsEnabled(true)
	conn := rig.Connection(ipproto.TCP, host4, 80, peer4, 5)
	in := func(flags packet.TCPFlag) { r.FromPeer(craft.TCP(peer4, 5, host4, 80, flags, "")) }
	out := func(flags packet.TCPFlag) { r.FromHost(craft.TCP(host4, 80, peer4, 5, flags, "")) }
	for _, step := range []struct {
		do    func()
		phase filter.Phase
	}{
		{func() { in(packet.TCPSyn) }, filter.PhaseNew},
		{func() { out(packet.TCPSyn | packet.TCPAck) }, filter.PhaseReplied},
		{func() { in(packet.TCPAck) }, filter.PhaseEstablished},
		{func() { out(packet.TCPAck | packet.TCPFin) }, filter.PhaseHostClosed},
		{func() { in(packet.TCPAck | packet.TCPFin) }, filter.PhaseClosed},
	} {
		step.do()
		if got := recordOf(t, r.W, conn); got.Phase != step.phase {
			t.Errorf("phase %v, want %v", got.Phase, step.phase)
		}
	}
	got := recordOf(t, r.W, conn)
	if got.Initiator != filter.InitiatorPeer || got.Policy != f.Serial() || got.RxPackets != 3 || got.TxPackets != 2 ||
		got.Peer != r.W.PeerOf(peer4) || got.First.After(got.Last) || got.End != tstun.FlowOpen || got.Audit != (filter.Verdict{}) {
		t.Errorf("record %+v", got)
	}
	in(packet.TCPSyn) // the next connection is another flow, whose SYN alone it has carried
	if got := recordOf(t, r.W, conn); got.RxPackets != 1 || got.TxPackets != 0 {
		t.Errorf("record of the next connection %+v", got)
	}
	r.FromHost(craft.UDP(host4, 9, peer4, 9, "x"))
	if got := recordOf(t, r.W, rig.Connection(ipproto.UDP, host4, 9, peer4, 9)); got.Initiator != filter.InitiatorHost || got.TxPackets != 1 {
		t.Errorf("record %+v", got)
	}
	r.FromHost(craft.Echo(host4, peer4, 7, false))
	r.FromPeer(craft.Echo(peer4, host4, 7, true))
	if got := recordOf(t, r.W, rig.Connection(ipproto.ICMPv4, host4, 0, peer4, 0)); got.Initiator != filter.InitiatorHost || got.TxPackets != 1 || got.RxPackets != 1 {
		t.Errorf("record of a ping %+v", got)
	}
	wantAddedUp(t, r.W.Flows())
}

// Records and statistics do not take from each other, and records outlive a new filter,
// also one with a State of its own.
func TestRecordsOutliveFilters(t *testing.T) {
	r := rig.New(t, 8)
	first := r.Allow(rig.To(rig.Port(80)))
	r.W.SetFlowRecordsEnabled(true)
	r.W.SetStatisticsEnabled(true)
	conn := rig.Connection(ipproto.UDP, host4, 80, peer4, 5)
	pkt := craft.UDP(peer4, 5, host4, 80, "x")
	r.FromPeer(pkt)
	want := func(what string, packets uint64, policy uint32) {
		t.Helper()
		got := recordOf(t, r.W, conn)
		if got.RxPackets != packets || got.RxBytes != packets*uint64(len(pkt)) || got.Policy != policy {
			t.Errorf("%s: %+v, want %d packets, policy %d", what, got, packets, policy)
		}
	}
	want("first", 1, first.Serial())
	config := filter.Config{Matches: []filter.Match{rig.To(rig.Port(80))}, Local: rig.Local(), State: first.State()}
	second, err := filter.New(config)
	if err != nil {
		t.Fatal(err)
	}
	r.W.SetFilter(second)
	r.FromPeer(pkt)
	want("readmitted", 2, second.Serial())
	stats := r.W.ExtractStatistics()
	if n := stats[conn]; n.RxPackets != 2 {
		t.Errorf("statistics %+v", stats)
	}
	config.State = nil
	third, err := filter.New(config)
	if err != nil {
		t.Fatal(err)
	}
	r.W.SetFilter(third)
	want("another state", 2, second.Serial())
	r.FromPeer(pkt)
	want("opened in another state", 3, third.Serial())
	if n := r.W.ExtractStatistics()[conn]; n.RxPackets != 1 {
		t.Errorf("second extract %+v, want 1 packet", n)
	}
	want("after an extract", 3, third.Serial())
	wantAddedUp(t, r.W.Flows())
}

func TestRefusedRecords(t *testing.T) {
	r := rig.New(t, 8)
	f := r.Allow(rig.To(rig.Port(80)))
	r.W.SetFlowRecordsEnabled(true)
	audit, err := filter.New(filter.Config{Matches: []filter.Match{rig.To(rig.Port(443))}, Local: rig.Local()})
	if err != nil {
		t.Fatal(err)
	}
	r.W.SetAudit(audit)
	for sport := range uint16(3) { // one flow, tried three times
		r.FromPeer(craft.TCP(peer4, 1000+sport, host4, 443, packet.TCPSyn, ""))
	}
	got := refusedOf(r.W)
	if len(got) != 1 {
		t.Fatalf("%d records, want 1: %+v", len(got), got)
	}
	g := got[0]
	if g.Connection != rig.Connection(ipproto.TCP, host4, 443, peer4, 1002) || g.Direction != filter.Inbound || g.Reason != filter.ReasonNoRule ||
		g.Stage != filter.StageRules || g.Packets != 3 || g.Bytes != 120 || g.More || g.Policy != f.Serial() || g.Audit.Response != filter.Accept || g.Peer != r.W.PeerOf(peer4) {
		t.Errorf("record %+v", g)
	}
	// A flow that is let in, and that the audit filter would not let in.
	r.FromPeer(craft.TCP(peer4, 5, host4, 80, packet.TCPSyn, ""))
	if got := recordOf(t, r.W, rig.Connection(ipproto.TCP, host4, 80, peer4, 5)); got.Audit.Reason != filter.ReasonNoRule {
		t.Errorf("audit %+v", got.Audit)
	}
	// A scan is the first flows and one record of the rest; it pushes nobody out.
	other := netip.MustParseAddr("100.64.0.77")
	r.FromPeer(craft.UDP(other, 1, host4, 53, "x"))
	for port := range uint16(3000) {
		r.FromPeer(craft.TCP(peer4, 1, host4, 10_000+port, packet.TCPSyn, ""))
	}
	var more, others int
	var packets uint64
	for _, g := range refusedOf(r.W) {
		switch {
		case g.Src.Addr() == host4 && g.Dst.Addr() == other:
			others++
		case g.More:
			if more++; g.Dst != netip.AddrPortFrom(peer4, 0) || g.Src.IsValid() || g.Direction != filter.Inbound {
				t.Errorf("the rest of a scan %+v", g)
			}
		}
		packets += g.Packets
	}
	if more != 1 || others != 1 || packets != 3004 {
		t.Errorf("%d records of the rest, %d of the other source, %d packets", more, others, packets)
	}
	s := r.W.Flows()
	wantAddedUp(t, s)
	if len(s.Rest.In.Drops) != 0 || s.Rest.In.Packets != 0 {
		t.Errorf("rest %+v, want none", s.Rest)
	}
}

// In each snapshot the records add up to the counters, while several goroutines pass and
// refuse packets, flows end, and filters change.
func TestRecordsAddUp(t *testing.T) {
	const writers, batches, size = 4, 150, 16
	r := rig.New(t, size)
	config := filter.Config{Matches: []filter.Match{rig.To(rig.Port(80))}, Local: rig.Local(), Limits: filter.Limits{Flows: 300}}
	set := func() {
		f, err := filter.New(config)
		if err != nil {
			t.Error(err)
			return
		}
		r.W.SetFilter(f)
	}
	set()
	r.W.SetFlowRecordsEnabled(true)
	r.Dev.OnWrite(func(b [][]byte, _ int) (int, error) { return len(b), nil })
	var work, look sync.WaitGroup
	for g := range writers {
		work.Go(func() {
			for i := range batches {
				var pkts [][]byte
				for j := range size {
					pkts = append(pkts, craft.UDP(peer4, uint16(g*1000+(i*j)%400), host4, uint16(80+j%3), fmt.Sprint(i, j)))
				}
				if _, err := r.W.Write(rig.Wire(pkts...), offset); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Go(func() {
		for i := range 300 {
			if err := r.W.InjectOutbound(craft.UDP(host4, 9, peer4, uint16(i%5), "x")); err != nil {
				t.Error(err)
			}
			r.Read(1)
			if i%60 == 0 {
				set()
			}
		}
	})
	done := make(chan struct{})
	look.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				wantAddedUp(t, r.W.Flows())
			}
		}
	})
	work.Wait()
	close(done)
	look.Wait()
	s := r.W.Flows()
	wantAddedUp(t, s)
	if want := uint64(writers * batches * size); s.Counters.In.Packets+s.Counters.In.Dropped() != want {
		t.Errorf("counted %+v, want %d", s.Counters.In, want)
	}
}

// Where all flows are open and kept apart nothing is left for the rest, at no moment: a
// snapshot has nothing that was counted after its counters.
func TestSnapshotIsOfOneMoment(t *testing.T) {
	const flows, size, rounds = 4096, 64, 20
	r := rig.New(t, size)
	r.Allow(rig.To(rig.Port(80)))
	r.W.SetFlowRecordsEnabled(true)
	r.Dev.OnWrite(func(b [][]byte, _ int) (int, error) { return len(b), nil })
	done := make(chan struct{})
	var work sync.WaitGroup
	for g := range 2 {
		work.Go(func() {
			var batches [][][]byte
			for i := 0; i < flows; i += size {
				var pkts [][]byte
				for j := range size {
					src := source(i + j)
					pkts = append(pkts, craft.UDP(src, uint16(1000+g), host4, uint16(80+(i/size)%2), "x"))
				}
				batches = append(batches, pkts)
			}
			for i := range rounds * len(batches) {
				if _, err := r.W.Write(rig.Wire(batches[i*7%len(batches)]...), offset); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	go func() { work.Wait(); close(done) }()
	for looks := 0; ; looks++ {
		s := r.W.Flows()
		wantAddedUp(t, s)
		if s.Rest.In.Packets != 0 || s.Rest.In.Bytes != 0 || len(s.Rest.In.Drops) != 0 {
			t.Fatalf("rest %+v of %+v", s.Rest.In, s.Counters.In)
		}
		select {
		case <-done:
			if want := uint64(2 * rounds * flows); s.Counters.In.Packets+s.Counters.In.Dropped() > want || looks == 0 {
				t.Errorf("%d looks, counters %+v, want %d", looks, s.Counters.In, want)
			}
			return
		default:
		}
	}
}

// What is written of an end can be read back.
func TestFlowEndWords(t *testing.T) {
	for e := tstun.FlowOpen; e <= tstun.FlowEvicted; e++ {
		text, _ := e.MarshalText()
		got := tstun.FlowEnd(200)
		if err := got.UnmarshalText(text); err != nil || got != e {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if new(tstun.FlowEnd).UnmarshalText([]byte("unknown")) == nil {
		t.Error("what is not known was read")
	}
}
