//go:build !android

package tundev_test

import (
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/gso"
	"tstun/internal/netns"
	"tstun/tundev"
)

// contenders are devices to be compared: wireguard-go's own, which reads one
// packet or super-packet per call, and the same descriptor's direct form.
func contenders(b *testing.B, f func(b *testing.B, dev tun.Device, to injector)) {
	for _, name := range []string{"wireguard-go", "tundev"} {
		b.Run(name, func(b *testing.B) {
			ns := netns.New(b)
			err := ns.Do(func() error {
				dev := openNative(b, "bench0", withHeaders, true)
				if name == "tundev" {
					dev, _ = tundev.AsDirect(nil, dev)
				}
				defer dev.Close()
				go drainEvents(dev)
				quietTUN(b, ns, "bench0")
				f(b, dev, newInjector(b, "bench0"))
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}

// One iteration is one packet of 228 bytes that waits in the device's queue.
// Putting it there is not measured.
func BenchmarkReadSmall(b *testing.B) {
	contenders(b, func(b *testing.B, dev tun.Device, to injector) {
		fill := withVirtio(gso.Virtio{}, udp(1, 200))
		benchmarkRead(b, dev, 1500, func() (int, error) { return 1, to.sendEncoded(4, fill) })
	})
}

// One iteration is one segment of a super-packet of 50.
func BenchmarkReadSuper(b *testing.B) {
	contenders(b, func(b *testing.B, dev tun.Device, to injector) {
		fill, want := superUDP(50, 1212, 1212)
		benchmarkRead(b, dev, 20, func() (int, error) { return len(want), to.sendEncoded(4, fill) })
	})
}

// benchmarkRead fills the queue by so many calls of fill, and reads it empty,
// again and again.
func benchmarkRead(b *testing.B, dev tun.Device, fills int, fill func() (int, error)) {
	bufs, sizes := buffers(128, room+2048)
	b.ReportAllocs()
	ready, calls, packets := 0, 0, 0
	for b.Loop() {
		if packets > 0 { // of an earlier read, each an iteration
			packets--
			continue
		}
		if ready == 0 {
			b.StopTimer()
			for range fills {
				n, err := fill()
				if err != nil {
					b.Fatal(err)
				}
				ready += n
			}
			b.StartTimer()
		}
		n, err := dev.Read(bufs, sizes, room)
		if err != nil || n == 0 {
			b.Fatal(n, err)
		}
		calls++
		ready -= n
		packets = n - 1
	}
	b.ReportMetric(float64(b.N)/float64(calls), "packets/call")
}

// One iteration is one packet of 1,240 bytes, in batches of 128 of one TCP flow
// or of two that are interleaved. The kernel drops them, having no route.
func BenchmarkWrite(b *testing.B) {
	for name, flows := range map[string]uint16{"1 flow": 1, "2 flows": 2} {
		b.Run(name, func(b *testing.B) {
			contenders(b, func(b *testing.B, dev tun.Device, _ injector) {
				fresh := make([][]byte, 128)
				for i := range fresh {
					fresh[i] = tcpSized(uint16(i)%flows, i/int(flows), 1200)
				}
				// wireguard-go's joins in the caller's memory, which needs room
				// for it and is made anew by decryption each time.
				bufs, _ := buffers(len(fresh), 65_535)
				out := make([][]byte, len(bufs))
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if i++; i%len(bufs) > 0 {
						continue
					}
					for k, p := range fresh {
						out[k] = bufs[k][:room+copy(bufs[k][room:], p)]
					}
					if _, err := dev.Write(out, room); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
