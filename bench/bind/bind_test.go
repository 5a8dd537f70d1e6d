// Package bind_test compares tstun's bind with wireguard-go's own: what sending and
// receiving cost by themselves, over loopback.
package bind_test

import (
	"net"
	"runtime"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"

	"tstun/bind"
)

// length is that of a datagram which has a packet of 1420 bytes in it.
const length = 1452

// binds returns who is compared.
func binds() map[string]func() conn.Bind {
	return map[string]func() conn.Bind{"tstun": bind.New, "wireguard-go": conn.NewDefaultBind}
}

// open opens a bind for the time of the benchmark.
func open(b *testing.B, bind conn.Bind) ([]conn.ReceiveFunc, uint16) {
	b.Helper()
	receive, port, err := bind.Open(0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { bind.Close() })
	return receive, port
}

// messages returns n datagrams in buffers like wireguard-go's.
func messages(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, length, device.MaxMessageSize)
	}
	return bufs
}

// BenchmarkSend sends to a socket that nobody reads, one datagram or a batch.
func BenchmarkSend(b *testing.B) {
	for _, count := range []int{1, 128} {
		for name, newBind := range binds() {
			b.Run(name+map[int]string{1: "/one", 128: "/batch"}[count], func(b *testing.B) {
				there, err := net.ListenPacket("udp4", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				defer there.Close()
				bind := newBind()
				open(b, bind)
				to, err := bind.ParseEndpoint(there.LocalAddr().String())
				if err != nil {
					b.Fatal(err)
				}
				bufs := messages(count)
				b.ReportAllocs()
				for b.Loop() {
					for i := range bufs {
						bufs[i] = bufs[i][:length]
					}
					if err := bind.Send(bufs, to); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/datagram")
			})
		}
	}
}

// BenchmarkReceive receives batches that tstun's bind sent, of which the time does not
// count.
func BenchmarkReceive(b *testing.B) {
	const count = 40
	for name, newBind := range binds() {
		b.Run(name, func(b *testing.B) {
			at := newBind()
			receive, port := open(b, at)
			from := bind.New()
			open(b, from)
			to, err := from.ParseEndpoint((&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}).String())
			if err != nil {
				b.Fatal(err)
			}
			sent, bufs := messages(count), messages(at.BatchSize())
			for i := range bufs {
				bufs[i] = bufs[i][:cap(bufs[i])]
			}
			sizes, ends := make([]int, len(bufs)), make([]conn.Endpoint, len(bufs))
			var took time.Duration
			var before, after runtime.MemStats
			allocated := uint64(0)
			for b.Loop() {
				if err := from.Send(sent, to); err != nil {
					b.Fatal(err)
				}
				runtime.ReadMemStats(&before)
				start := time.Now()
				for missing := count; missing > 0; {
					n, err := receive[0](bufs, sizes, ends)
					if err != nil {
						b.Fatal(err)
					}
					for _, size := range sizes[:n] {
						if size > 0 {
							missing--
						}
					}
				}
				took += time.Since(start)
				runtime.ReadMemStats(&after)
				allocated += after.Mallocs - before.Mallocs
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N*count), "ns/datagram")
			b.ReportMetric(float64(allocated)/float64(b.N*count), "allocs/datagram")
		})
	}
}
