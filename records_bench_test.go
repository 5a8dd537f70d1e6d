package tstun_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
)

// payload makes packets of 40 bytes, the shortest that a Load takes.
const payload = "0123456789ab"

// BenchmarkKnownFlows is Write of packets of many known flows in random order, so that
// each look-up waits for memory: without statistics, with them, and with records.
func BenchmarkKnownFlows(b *testing.B) {
	const batch = 128
	for _, flows := range []int{1, 1000, 10_000, 100_000, 1_000_000} {
		traffic := manyFlows(flows)
		for _, mode := range []string{"off", "statistics", "records"} {
			b.Run(fmt.Sprintf("flows=%d/%s", flows, mode), func(b *testing.B) {
				l := rig.NewDirectLoad(b, batch, traffic, mode == "statistics")
				l.W.SetFlowRecordsEnabled(mode == "records")
				for range l.Rounds() + 10 {
					l.Write()
				}
				b.ReportAllocs()
				for b.Loop() {
					l.Write()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/packet")
			})
		}
	}
}

// manyFlows returns a short packet of each of so many flows, and of the first ones once
// more to fill the last batch, in an order of no pattern.
func manyFlows(flows int) (packets [][]byte) {
	const step = 7_919 // a prime
	for n := range (flows + 127) / 128 * 128 {
		i := n * step % flows
		packets = append(packets, craft.UDP(source(i>>10), uint16(1024+i&1023), host4, 80, payload))
	}
	return packets
}

// source returns the n-th of a million addresses of peers.
func source(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, 80 + byte(n>>16), byte(n >> 8), byte(n)})
}

// BenchmarkRefusedFlows is Write of packets that no rule allows, of one flow, of a port
// scan and of many flows of many sources, without and with records.
func BenchmarkRefusedFlows(b *testing.B) {
	const batch, packets = 128, 128 * 64
	for _, kind := range []string{"one", "scan", "many"} {
		var traffic [][]byte
		for i := range packets {
			src, port := peer4, uint16(1000)
			switch kind {
			case "scan":
				port = uint16(i)
			case "many":
				src = source(i % 1000)
			}
			traffic = append(traffic, craft.UDP(src, 53, host4, port, payload))
		}
		for _, records := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/records=%v", kind, records), func(b *testing.B) {
				l := rig.NewDirectLoad(b, batch, traffic, false)
				l.W.SetFilter(filter.NewAllowNone(nil))
				l.W.SetFlowRecordsEnabled(records)
				for range l.Rounds() + 10 {
					l.Write()
				}
				b.ReportAllocs()
				for b.Loop() {
					l.Write()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/packet")
			})
		}
	}
}

// BenchmarkSnapshot is one look at 100,000 flows: by Flows, by Flows and all records, and
// by ExtractStatistics. Write goes on between.
func BenchmarkSnapshot(b *testing.B) {
	const batch = 128
	traffic := manyFlows(100_000)
	for name, look := range map[string]func(*tstun.Wrapper) int{
		"flows": func(w *tstun.Wrapper) int { return w.Flows().Len() },
		"all": func(w *tstun.Wrapper) (n int) {
			for range w.Flows().All {
				n++
			}
			return n
		},
		"extract": func(w *tstun.Wrapper) int { return len(w.ExtractStatistics()) },
	} {
		b.Run(name, func(b *testing.B) {
			l := rig.NewDirectLoad(b, batch, traffic, true)
			least := time.Duration(1 << 62)
			for b.Loop() {
				for range l.Rounds() + 1 {
					l.Write()
				}
				begin := time.Now()
				if n := look(l.W); n != 100_000 {
					b.Fatal(n)
				}
				least = min(least, time.Since(begin))
			}
			b.ReportMetric(float64(least.Microseconds()), "µs/least")
		})
	}
}
