package netstack

import (
	"net/netip"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
)

// toItself returns the two ends of a connection of a stack to itself.
func toItself(t *testing.T) (from, to *TCPConn) {
	t.Helper()
	w := tstun.Wrap(nil, tstun.NewFake())
	w.SetFilter(filter.NewAllowAll(nil))
	own := netip.MustParseAddr("100.64.7.1")
	s, err := New(w, Config{Addrs: []netip.Addr{own}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		w.Close()
	})
	l, err := s.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	d := &Dialer{Stack: s, Timeout: 20 * time.Second}
	c, err := d.Dial("tcp", netip.AddrPortFrom(own, 80).String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*TCPConn), peer.(*TCPConn)
}

// The version of gVisor in go.mod has the two fields, and they say what a
// connection holds. Without them it counts with its whole buffers.
func TestUsageIsKnown(t *testing.T) {
	if receivedAt == 0 || unackedAt == 0 {
		t.Fatal("gVisor's endpoint has other fields: see usage.go")
	}
	from, to := toItself(t)
	const n = 10_000
	if _, err := from.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	sent, got := from.tcp(), to.tcp()
	for end := time.Now().Add(20 * time.Second); received(got) < n || unacked(sent) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes received, %d not acknowledged", received(got), unacked(sent))
		}
	}
	if held := received(got); held > 4*n {
		t.Errorf("%d bytes take %d", n, held)
	}
	defer func(r, u uintptr) { receivedAt, unackedAt = r, u }(receivedAt, unackedAt)
	receivedAt, unackedAt = 0, 0
	if r, u := received(got), unacked(sent); r != defaultTCPBuffer || u < defaultTCPBuffer {
		t.Errorf("of an unknown gVisor: %d and %d bytes", r, u)
	}
}
