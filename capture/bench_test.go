package capture_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"

	"tstun"
	"tstun/capture"
	"tstun/filter"
	"tstun/flow"
	"tstun/internal/rig"
)

// gate is an io.Writer whose Writes wait while it is locked.
type gate struct{ sync.Mutex }

func (g *gate) Write(b []byte) (int, error) {
	g.Lock()
	defer g.Unlock()
	return len(b), nil
}

// settle waits until nothing waits for the writer.
func settle(c *capture.Capture) {
	for c.Stats().Waiting > 0 {
		runtime.Gosched()
	}
}

// BenchmarkSink is what a capture takes of the path for each packet, of 1,228 bytes. In
// each burst the ring has room, so that no packet is lost, which would be cheaper, and
// the writer waits, so that it takes no processor from the path.
func BenchmarkSink(b *testing.B) {
	const burst = 8192
	f := filter.NewAllowAll(nil)
	pkt := rig.Loads(1, 1)["udp"][0]
	for name, o := range map[string]capture.Options{
		"snap=128":           {SnapLen: 128},
		"snap=128/peer-rule": {SnapLen: 128, Peer: func(flow.PeerID) string { return "peer" }, Rule: func(*filter.Filter, flow.Key) string { return "1" }},
		"whole":              {Ring: 16 << 20},
	} {
		b.Run(name, func(b *testing.B) {
			g := new(gate)
			c, err := capture.New(g, o)
			if err != nil {
				b.Fatal(err)
			}
			obs := tstun.Observation{Packet: pkt, Wire: pkt, Now: filter.Now(), Verdict: filter.Verdict{Response: filter.Accept}, Filter: f, Inbound: true}
			b.ReportAllocs()
			g.Lock()
			n := 0
			for b.Loop() {
				c.Sink(&obs)
				if n++; n%burst == 0 {
					b.StopTimer()
					g.Unlock()
					settle(c)
					g.Lock()
					b.StartTimer()
				}
			}
			g.Unlock()
			if err := c.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
			if s := c.Stats(); s.Lost != 0 || s.Written != uint64(n) {
				b.Errorf("%d packets: %+v", n, s)
			}
		})
	}
}

// BenchmarkWriter is what the goroutine that writes takes for each packet.
func BenchmarkWriter(b *testing.B) {
	const burst = 16384
	pkt := rig.Loads(1, 1)["udp"][0]
	c, err := capture.New(io.Discard, capture.Options{SnapLen: 128})
	if err != nil {
		b.Fatal(err)
	}
	obs := tstun.Observation{Packet: pkt, Wire: pkt, Verdict: filter.Verdict{Response: filter.Accept}}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		c.Sink(&obs)
		if n++; n%burst == 0 {
			settle(c)
		}
	}
	if err := c.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCaptured is Wrapper.Write with and without a capture of all packets, in the
// bursts of BenchmarkSink.
func BenchmarkCaptured(b *testing.B) {
	const batch, burst = 128, 64
	for _, on := range []bool{false, true} {
		for _, flows := range []int{1, 1000} {
			b.Run(fmt.Sprintf("on=%v/flows=%d", on, flows), func(b *testing.B) {
				l := rig.NewDirectLoad(b, batch, rig.Loads(batch, flows)["udp"], true)
				for range l.Rounds() + 10 {
					l.Write()
				}
				g := new(gate)
				c, err := capture.New(g, capture.Options{SnapLen: 128})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close(context.Background())
				g.Lock()
				defer g.Unlock()
				if on {
					l.W.SetCapture(c.Sink)
				}
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					l.Write()
					if n++; on && n%burst == 0 {
						b.StopTimer()
						g.Unlock()
						settle(c)
						g.Lock()
						b.StartTimer()
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/packet")
				if s := c.Stats(); s.Lost != 0 {
					b.Errorf("%+v", s)
				}
			})
		}
	}
}
