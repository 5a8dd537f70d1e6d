package tstun_test

import (
	"fmt"
	"testing"
)

// The benchmarks go through *Wrapper, with filter and statistics on, over a
// device that costs next to nothing; their ns/packet is the price of the
// layer. Read includes the device's copying into the pump's buffers. Bare is
// Write without a Wrapper: what the loop itself and the device cost.

func BenchmarkWrite(b *testing.B) { benchmark(b, (*load).write) }

func BenchmarkBare(b *testing.B) { benchmark(b, (*load).writeBare) }

func BenchmarkRead(b *testing.B) { benchmark(b, (*load).read) }

func benchmark(b *testing.B, op func(*load)) {
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
