// Package rig is what tests of whole packets share: a Wrapper on a test device,
// or behind a real kernel, with what drives it and what checks it. Only tests
// import it. Packets themselves come from craft, which knows neither Wrapper
// nor filter, so that tests of every package can use it; the test device is in
// testdev.
package rig

import (
	"bytes"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
)

// Offset is where packets begin in the buffers of a test.
const Offset = tstun.PacketStartOffset

// Rig is a Wrapper, most often on a test device. The buffers are those that
// Read fills.
type Rig struct {
	T     testing.TB
	Dev   *testdev.Device // nil if the Wrapper is on another device
	W     *tstun.Wrapper
	Bufs  [][]byte
	Sizes []int
}

// New returns a Rig on a new test device, closed with the test.
func New(t testing.TB, batch int) *Rig { return OnTest(t, testdev.New(batch), batch) }

// OnTest returns a Rig on a test device that the test has made, closed with the
// test.
func OnTest(t testing.TB, dev *testdev.Device, batch int) *Rig {
	r := On(t, dev, batch)
	r.Dev = dev
	return r
}

// On returns a Rig on any device, closed with the test.
func On(t testing.TB, dev tun.Device, batch int) *Rig {
	r := Of(t, tstun.Wrap(t.Logf, dev), batch)
	t.Cleanup(func() { r.W.Close() })
	return r
}

// Of returns a Rig of a Wrapper that the test has made. The test closes it.
func Of(t testing.TB, w *tstun.Wrapper, batch int) *Rig {
	return &Rig{T: t, W: w, Bufs: Buffers(batch), Sizes: make([]int, batch)}
}

// Buffers returns n buffers, each with room for the longest packet.
func Buffers(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, Offset+65535)
	}
	return bufs
}

// Wire returns the packets as WireGuard hands them to Write, at Offset in buffers
// of their own.
func Wire(pkts ...[]byte) [][]byte {
	bufs := make([][]byte, len(pkts))
	for i, p := range pkts {
		bufs[i] = append(make([]byte, Offset), p...)
	}
	return bufs
}

// Allow sets a filter with the rules. The host's addresses are local.
func (r *Rig) Allow(matches ...filter.Match) *filter.Filter {
	r.T.Helper()
	f, err := filter.New(filter.Config{Matches: matches, Local: Local()})
	if err != nil {
		r.T.Fatal(err)
	}
	r.W.SetFilter(f)
	return f
}

// Read reads until n packets have come, dropped ones included. It returns those
// that passed.
func (r *Rig) Read(n int) [][]byte {
	r.T.Helper()
	var passed [][]byte
	for got := 0; got < n; {
		k, err := r.W.Read(r.Bufs, r.Sizes, Offset)
		if err != nil {
			r.T.Fatalf("Read: %v", err)
		}
		for i := range k {
			if r.Sizes[i] > 0 {
				passed = append(passed, bytes.Clone(r.Bufs[i][Offset:Offset+r.Sizes[i]]))
			}
		}
		got += k
	}
	return passed
}

// FromHost sends packets from the host and returns those that reach
// WireGuard.
func (r *Rig) FromHost(pkts ...[]byte) [][]byte {
	r.T.Helper()
	r.Dev.Send(pkts...)
	return r.Read(len(pkts))
}

// FromPeer sends packets out of WireGuard and returns those that reach the
// host.
func (r *Rig) FromPeer(pkts ...[]byte) [][]byte {
	r.T.Helper()
	if n, err := r.W.Write(Wire(pkts...), Offset); err != nil || n != len(pkts) {
		r.T.Fatalf("Write = %d, %v; want %d", n, err, len(pkts))
	}
	return r.Dev.Written()
}

// Queued returns the packets that wait for Read.
func (r *Rig) Queued() [][]byte {
	marker := craft.UDP(craft.Host4, 9, craft.Peer4, 9, "marker")
	if err := r.W.InjectOutbound(marker); err != nil {
		r.T.Fatal(err)
	}
	var got [][]byte
	for {
		for _, b := range r.Read(1) {
			if len(b) == len(marker) && string(b) == string(marker) {
				return got
			}
			got = append(got, b)
		}
	}
}
