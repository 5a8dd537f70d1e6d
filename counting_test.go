package tstun_test

import (
	"math/rand/v2"
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

// TestLostPacketsAddUp: packets of known flows are counted where the filter looks these up.
// What the device refuses afterwards is a drop, in counters, records and statistics,
// whatever several goroutines pass, look at and take meanwhile.
func TestLostPacketsAddUp(t *testing.T) {
	const writers, batches, size = 4, 300, 16
	r := rig.New(t, size)
	f := r.Allow(rig.To(rig.Port(80)))
	r.W.SetStatisticsEnabled(true)
	r.W.SetFlowRecordsEnabled(true)
	r.Dev.OnWrite(func(bufs [][]byte, _ int) (int, error) {
		return lose(bufs, func(int) bool { return rand.IntN(4) == 0 })
	})
	var work, look sync.WaitGroup
	for g := range writers {
		work.Go(func() {
			for i := range batches {
				var pkts [][]byte
				for j := range size {
					flags := packet.TCPAck
					if (i*size+j)%50 < 5 {
						flags = packet.TCPSyn // ends the flow before, and begins one
					}
					pkts = append(pkts, craft.TCP(peer4, uint16(g*100+j%5), host4, 80, flags, ""))
				}
				r.W.Write(rig.Wire(pkts...), offset)
			}
		})
	}
	var sum netlogtype.Counts
	take := func() {
		for _, n := range r.W.ExtractStatistics() {
			sum = sum.Add(n)
		}
	}
	done := make(chan struct{})
	look.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
				wantAddedUp(t, r.W.Flows())
				take()
				if n%20 == 0 {
					r.W.SetFilter(nil) // whose flows go on elsewhere
					r.W.SetFilter(f)
				}
			}
		}
	})
	work.Wait()
	close(done)
	look.Wait()
	take()
	s := r.W.Flows()
	wantAddedUp(t, s)
	in := r.W.Counters().In
	if in.Packets != s.Counters.In.Packets || in.Packets != sum.RxPackets || in.Bytes != sum.RxBytes {
		t.Errorf("counters %+v, those of a snapshot %+v, extracted %+v", in, s.Counters.In, sum)
	}
	if want := uint64(writers * batches * size); in.Packets+in.Dropped() != want || in.Drops[filter.ReasonDevice] == 0 || in.Packets == 0 {
		t.Errorf("counted %+v, want %d", in, want)
	}
}

// TestLostWhileLookedAt: a snapshot that is taken while the device has packets says that
// they passed, and Counters do when they have. What was extracted meanwhile stays counted.
func TestLostWhileLookedAt(t *testing.T) {
	conn := rig.Connection(ipproto.UDP, host4, 80, peer4, 5)
	pkt := craft.UDP(peer4, 5, host4, 80, "x")
	for _, test := range []struct {
		name     string
		extract  bool
		packets  uint64
		lost     uint64
		extracts []uint64 // packets, in the call and after it
	}{
		{"looked at", false, 1, 1, []uint64{0, 0}},
		{"extracted", true, 2, 0, []uint64{1, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rig.New(t, 1)
			r.Allow(rig.To(rig.Port(80)))
			r.W.SetFlowRecordsEnabled(true)
			r.W.SetStatisticsEnabled(true)
			r.FromPeer(pkt) // opens the flow
			r.W.ExtractStatistics()
			var extracts []uint64
			var s *tstun.FlowSnapshot
			r.Dev.OnWrite(func(bufs [][]byte, _ int) (int, error) {
				s = r.W.Flows()
				if n := r.W.Counters().In.Packets; n != 1 {
					t.Errorf("Counters has %d packets while the device has the second", n)
				}
				if test.extract {
					extracts = append(extracts, r.W.ExtractStatistics()[conn].RxPackets)
				} else {
					extracts = append(extracts, 0)
				}
				return 0, errFickle
			})
			if _, err := r.W.Write(rig.Wire(pkt), offset); err == nil {
				t.Error("the device's error is lost")
			}
			extracts = append(extracts, r.W.ExtractStatistics()[conn].RxPackets)
			wantAddedUp(t, s)
			if s.Counters.In.Packets != 2 {
				t.Errorf("the snapshot counts %+v, want 2 packets", s.Counters.In)
			}
			in := r.W.Counters().In
			if in.Packets != test.packets || in.Drops[filter.ReasonDevice] != test.lost {
				t.Errorf("counted %+v, want %d packets and %d lost", in, test.packets, test.lost)
			}
			if extracts[0] != test.extracts[0] || extracts[1] != test.extracts[1] {
				t.Errorf("extracted %v, want %v", extracts, test.extracts)
			}
			if got := recordOf(t, r.W, conn).RxPackets; got != test.packets {
				t.Errorf("the record has %d packets, want %d", got, test.packets)
			}
			wantAddedUp(t, r.W.Flows())
		})
	}
}
