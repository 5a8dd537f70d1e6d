package rig

import (
	"strings"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/packet"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// Load drives a Wrapper with the same packets over and over: into Write, and
// out of a device into Read. It is what allocation tests and benchmarks share.
type Load struct {
	W       *tstun.Wrapper
	t       testing.TB
	packets [][]byte // pristine
	bufs    [][]byte // for one call
	sizes   []int
	next    int
}

// Loads returns traffic of each kind from the peer to the host: enough packets for
// whole batches that cover all flows in turn.
func Loads(batch, flows int) map[string][][]byte {
	n := max(batch, flows)
	if rest := n % batch; rest != 0 {
		n += batch - rest
	}
	kinds := map[string][][]byte{"udp": nil, "tcp": nil}
	payload := strings.Repeat("x", 1200)
	for i := range n {
		sport := uint16(1024 + i%flows)
		kinds["udp"] = append(kinds["udp"], craft.UDP(craft.Peer4, sport, craft.Host4, 80, payload))
		kinds["tcp"] = append(kinds["tcp"], craft.TCP(craft.Peer4, sport, craft.Host4, 80, packet.TCPAck, payload))
	}
	return kinds
}

// NewLoad returns a load whose device hands the packets' mirror images to the
// pump, as the host's.
func NewLoad(t testing.TB, batch int, packets [][]byte, statistics bool) *Load {
	return newLoadOn(t, NewEndless(t, batch, packets), packets, statistics)
}

// NewDirectLoad returns a load whose device is read directly, and hands out the
// packets' mirror images as the host's.
func NewDirectLoad(t testing.TB, batch int, packets [][]byte, statistics bool) *Load {
	return newLoadOn(t, EndlessDirect{NewEndless(t, batch, packets)}, packets, statistics)
}

func newLoadOn(t testing.TB, dev tun.Device, packets [][]byte, statistics bool) *Load {
	batch := dev.BatchSize()
	w := tstun.Wrap(nil, dev)
	t.Cleanup(func() { w.Close() })
	f, err := filter.New(filter.Config{
		Matches: []filter.Match{To(Port(80))}, Local: Local(),
		// All may be one peer's, whose share is half.
		Limits: filter.Limits{Flows: max(filter.DefaultFlows, 3*len(packets))},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.SetFilter(f)
	w.SetStatisticsEnabled(statistics)
	return NewLoadOf(t, w, batch, packets)
}

// NewLoadOf returns a load of a Wrapper that another load may drive too.
func NewLoadOf(t testing.TB, w *tstun.Wrapper, batch int, packets [][]byte) *Load {
	return &Load{t: t, W: w, packets: packets, bufs: messageBuffers(batch), sizes: make([]int, batch)}
}

// Rounds returns how many batches it takes until each packet was sent.
func (l *Load) Rounds() int { return len(l.packets) / len(l.bufs) }

// messageBuffers returns buffers of the size that wireguard-go's have, a power of
// two in memory: their fronts are in each other's way in a processor's cache.
func messageBuffers(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, device.MaxMessageSize)
	}
	return bufs
}

// mirrored returns the packets with source and destination swapped.
func mirrored(t testing.TB, packets [][]byte) [][]byte {
	out := make([][]byte, len(packets))
	for i, b := range packets {
		p := Parse(t, b)
		if p.TCPFlags != 0 {
			out[i] = craft.TCP(p.Dst.Addr(), p.Dst.Port(), p.Src.Addr(), p.Src.Port(), p.TCPFlags, string(p.Payload()))
		} else {
			out[i] = craft.UDP(p.Dst.Addr(), p.Dst.Port(), p.Src.Addr(), p.Src.Port(), string(p.Payload()))
		}
	}
	return out
}

// Write sends the next batch from the peer.
func (l *Load) Write() {
	l.fill()
	if _, err := l.W.Write(l.bufs, Offset); err != nil {
		l.t.Fatal(err)
	}
}

// WriteBare writes the next batch to the device.
func (l *Load) WriteBare() {
	l.fill()
	if _, err := l.W.Unwrap().Write(l.bufs, Offset); err != nil {
		l.t.Fatal(err)
	}
}

// fill puts the next batch into the buffers.
func (l *Load) fill() {
	for i := range l.bufs {
		pkt := l.packets[l.next]
		if l.next++; l.next == len(l.packets) {
			l.next = 0
		}
		l.bufs[i] = l.bufs[i][:Offset+len(pkt)]
		copy(l.bufs[i][Offset:], pkt[:40]) // headers; the payload does not matter
	}
}

// ReadBare takes a batch from the device.
func (l *Load) ReadBare() {
	n, err := l.W.Unwrap().Read(l.bufs, l.sizes, Offset)
	if err != nil || n == 0 {
		l.t.Fatal(n, err)
	}
}

// Read takes a batch from the host.
func (l *Load) Read() {
	n, err := l.W.Read(l.bufs, l.sizes, Offset)
	if err != nil || n == 0 {
		l.t.Fatal(n, err)
	}
}
