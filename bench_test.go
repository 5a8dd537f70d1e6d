package tstun_test

import (
	"fmt"
	"sync"
	"testing"

	"tstun"
	"tstun/packet"
)

// The benchmarks go through *Wrapper, with filter and statistics on, over a
// device that costs next to nothing. Those that are called Bare do without the
// Wrapper: what they take, the loop itself and the device take of the others.
// ReadPump's device is one that cannot be interrupted, and copies whole packets.

func BenchmarkWrite(b *testing.B)     { benchmark(b, newDirectLoad, (*load).write) }
func BenchmarkWriteBare(b *testing.B) { benchmark(b, newDirectLoad, (*load).writeBare) }

func BenchmarkRead(b *testing.B)     { benchmark(b, newDirectLoad, (*load).read) }
func BenchmarkReadBare(b *testing.B) { benchmark(b, newDirectLoad, (*load).readBare) }

func BenchmarkReadPump(b *testing.B)     { benchmark(b, newLoad, (*load).read) }
func BenchmarkReadPumpBare(b *testing.B) { benchmark(b, newLoad, (*load).readBare) }

type newLoadFunc func(t testing.TB, batch int, packets [][]byte, statistics bool) *load

func benchmark(b *testing.B, newLoad newLoadFunc, op func(*load)) {
	for _, batch := range []int{1, 128} {
		for _, flows := range []int{1, 1000} {
			traffic := loads(batch, flows)
			for _, kind := range []string{"udp", "tcp"} {
				b.Run(fmt.Sprintf("%s/batch=%d/flows=%d", kind, batch, flows), func(b *testing.B) {
					l := newLoad(b, batch, traffic[kind], true)
					for range len(l.packets)/batch + 10 {
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
				traffic := loads(1, flows*receivers)["udp"]
				all := newDirectLoad(b, batch, traffic, true)
				each := make([]*load, receivers)
				for i := range each {
					l := &load{t: b, w: all.w, bufs: messageBufs(batch)}
					for n := range packets {
						l.packets = append(l.packets, traffic[i*flows+n%flows])
					}
					each[i] = l
				}
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for _, l := range each {
					wg.Go(func() {
						for range b.N / receivers {
							l.write()
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
				syns = append(syns, tcp(peer4, uint16(i), host4, 22, packet.TCPSyn, ""))
			}
			l := newDirectLoad(b, batch, syns, false)
			r := &rig{t: b, w: l.w}
			r.allow(to(port(80)))
			l.w.SetReject(mode)
			for range 100 {
				l.write()
			}
			b.ReportAllocs()
			for b.Loop() {
				l.write()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/packet")
			b.ReportMetric(0, "ns/op")
		})
	}
}
