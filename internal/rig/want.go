package rig

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/netlogtype"
	"tstun/packet"
)

// Soon runs f and fails the test if f does not return.
func Soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

// Parse returns what packet makes of b, which must be a good packet.
func Parse(t testing.TB, b []byte) *packet.Parsed {
	t.Helper()
	p := new(packet.Parsed)
	p.Decode(b)
	if p.Problem() != packet.ProblemNone {
		t.Fatalf("packet %x: %v", b, p.Problem())
	}
	return p
}

// WantPackets compares packets byte by byte.
func WantPackets(t testing.TB, what string, got [][]byte, want ...[]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d packets, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s: packet %d:\n got %x\nwant %x", what, i, got[i], want[i])
		}
	}
}

// Families runs a test for IPv4 and for IPv6.
func Families(t *testing.T, f func(t *testing.T, host, peer netip.Addr)) {
	t.Run("IPv4", func(t *testing.T) { f(t, craft.Host4, craft.Peer4) })
	t.Run("IPv6", func(t *testing.T) { f(t, craft.Host6, craft.Peer6) })
}

// Connection returns the key of a flow in the statistics.
func Connection(proto ipproto.Proto, src netip.Addr, sport uint16, dst netip.Addr, dport uint16) netlogtype.Connection {
	return netlogtype.Connection{Proto: proto, Src: netip.AddrPortFrom(src, sport), Dst: netip.AddrPortFrom(dst, dport)}
}
