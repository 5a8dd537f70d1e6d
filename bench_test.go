package tstun_test

import (
	"fmt"
	"sync"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// The benchmarks go through *Wrapper, with filter and statistics on, over a
// device that costs next to nothing. Those that are called Bare do without the
// Wrapper: what they take, the loop itself and the device take of the others.
// ReadPump's device is one that cannot be interrupted, and copies whole packets.

func BenchmarkWrite(b *testing.B)     { benchmark(b, rig.NewDirectLoad, (*rig.Load).Write) }
func BenchmarkWriteBare(b *testing.B) { benchmark(b, rig.NewDirectLoad, (*rig.Load).WriteBare) }

func BenchmarkRead(b *testing.B)     { benchmark(b, rig.NewDirectLoad, (*rig.Load).Read) }
func BenchmarkReadBare(b *testing.B) { benchmark(b, rig.NewDirectLoad, (*rig.Load).ReadBare) }

// Hooked is with two hooks that see each packet.
func BenchmarkWriteHooked(b *testing.B) { benchmark(b, newHookedLoad, (*rig.Load).Write) }
func BenchmarkReadHooked(b *testing.B)  { benchmark(b, newHookedLoad, (*rig.Load).Read) }

func newHookedLoad(t testing.TB, batch int, packets [][]byte, statistics bool) *rig.Load {
	l := rig.NewDirectLoad(t, batch, packets, statistics)
	accept := func(*packet.Parsed, *tstun.Wrapper) filter.Response { return filter.Accept }
	l.W.PreFilterIn, l.W.PostFilterIn = accept, accept
	l.W.PreFilterFromTunToNetstack, l.W.PostFilterOut = accept, accept
	return l
}

func BenchmarkReadPump(b *testing.B)     { benchmark(b, rig.NewLoad, (*rig.Load).Read) }
func BenchmarkReadPumpBare(b *testing.B) { benchmark(b, rig.NewLoad, (*rig.Load).ReadBare) }

type newLoadFunc func(t testing.TB, batch int, packets [][]byte, statistics bool) *rig.Load

func benchmark(b *testing.B, newLoad newLoadFunc, op func(*rig.Load)) {
	for _, batch := range []int{1, 128} {
		for _, flows := range []int{1, 1000} {
			traffic := rig.Loads(batch, flows)
			for _, kind := range []string{"udp", "tcp"} {
				b.Run(fmt.Sprintf("%s/batch=%d/flows=%d", kind, batch, flows), func(b *testing.B) {
					l := newLoad(b, batch, traffic[kind], true)
					for range l.Rounds() + 10 {
						op(l)
					}
					b.ReportAllocs()
					for b.Loop() {
						op(l)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/packet")
				})
			}
		}
	}
}

// BenchmarkReceivers is Write from several goroutines at once, as wireguard-go
// has one for each peer, each with so many flows of its own, interleaved. With
// as many processors, ns/packet of all together goes down as their number goes
// up.
func BenchmarkReceivers(b *testing.B) {
	const batch, packets = 128, 512
	for _, flows := range []int{1, 8, 500} {
		for _, receivers := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("flows=%d/receivers=%d", flows, receivers), func(b *testing.B) {
				traffic := rig.Loads(1, flows*receivers)["udp"]
				all := rig.NewDirectLoad(b, batch, traffic, true)
				each := make([]*rig.Load, receivers)
				for i := range each {
					var own [][]byte
					for n := range packets {
						own = append(own, traffic[i*flows+n%flows])
					}
					each[i] = rig.NewLoadOf(b, all.W, batch, own)
				}
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for _, l := range each {
					wg.Go(func() {
						for range b.N / receivers {
							l.Write()
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N/receivers*receivers*batch), "ns/packet")
			})
		}
	}
}

// BenchmarkRefusal is Write of connections that no rule allows: without answers,
// and with so many that the limit of answers is reached.
func BenchmarkRefusal(b *testing.B) {
	for name, mode := range map[string]tstun.Reject{"unanswered": tstun.RejectNone, "over-the-limit": tstun.RejectReset} {
		b.Run(name, func(b *testing.B) {
			const batch = 128
			var syns [][]byte
			for i := range 4096 {
				syns = append(syns, craft.TCP(peer4, uint16(i), host4, 22, packet.TCPSyn, ""))
			}
			l := rig.NewDirectLoad(b, batch, syns, false)
			rig.Of(b, l.W, 1).Allow(rig.To(rig.Port(80)))
			l.W.SetReject(mode)
			for range 100 {
				l.Write()
			}
			b.ReportAllocs()
			for b.Loop() {
				l.Write()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/packet")
			b.ReportMetric(0, "ns/op")
		})
	}
}
