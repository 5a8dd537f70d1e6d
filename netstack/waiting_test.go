package netstack_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tstun/netstack"
)

// Whatever waits in a stack ends with net.ErrClosed when that is closed, and
// leaves nothing behind.
func TestCloseEndsWhatWaits(t *testing.T) {
	before := goleak.IgnoreCurrent()
	a, b := newNode(t, 0), newNode(t, 1)
	connect(t, a, b, nil)
	b.start(t)
	blackHole := netip.MustParseAddr("100.64.7.9") // no node has it
	s, err := netstack.New(a.w, netstack.Config{Addrs: a.addrs(), Resolver: &netstack.Resolver{
		Servers: []netip.AddrPort{netip.AddrPortFrom(blackHole, 53)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	newSink(t, b, 80)
	l := mustListen(t, s, "tcp", ":80")
	pc, err := s.ListenPacket("udp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	c, full := mustDial(t, s, "tcp", b.on(b.v4, 80)), mustDial(t, s, "tcp", b.on(b.v4, 80))
	u := mustDial(t, s, "udp", b.on(b.v4, 7))
	for _, x := range []net.Conn{c, full, u} {
		x.SetDeadline(time.Time{})
	}
	ctx := context.Background()
	calls := map[string]func() error{
		"accept": func() error { _, err := l.Accept(); return err },
		"dial": func() error {
			_, err := s.DialContext(ctx, "tcp", netip.AddrPortFrom(blackHole, 80).String())
			return err
		},
		"dial name": func() error { _, err := s.DialContext(ctx, "tcp", "nobody.example:80"); return err },
		"ping":      func() error { _, err := s.Ping(ctx, blackHole); return err },
		"read":      func() error { _, err := c.Read(make([]byte, 1)); return err },
		"read UDP":  func() error { _, err := u.Read(make([]byte, 1)); return err },
		"read from": func() error { _, _, err := pc.ReadFrom(make([]byte, 1)); return err },
		"write": func() (err error) {
			for err == nil { // nobody reads
				_, err = full.Write(make([]byte, 1<<20))
			}
			return err
		},
	}
	type result struct {
		name string
		err  error
	}
	results := make(chan result)
	for name, call := range calls {
		go func() { results <- result{name, call()} }()
	}
	time.Sleep(20 * time.Millisecond) // most wait by now; those that do not are closed just the same
	s.Close()
	for range calls {
		select {
		case r := <-results:
			if !errors.Is(r.err, net.ErrClosed) {
				t.Errorf("%s: %v", r.name, r.err)
			}
		case <-time.After(patience):
			t.Fatal("something still waits")
		}
	}
	b.s.Close()
	a.w.Close()
	b.w.Close()
	l.Close()
	goleak.VerifyNone(t, before)
}

// A connection begins with buffers of 128 KiB, which grow as they are read and
// acknowledged.
func TestBuffersGrow(t *testing.T) {
	a, b := backToBack(t)
	l := mustListen(t, b.s, "tcp", ":80")
	c := mustDial(t, a.s, "tcp", b.on(b.v4, 80)).(*netstack.TCPConn)
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	got := peer.(*netstack.TCPConn)
	const first = 128 << 10
	if in, out := got.Buffers(); in != first || out != first {
		t.Errorf("a new connection has buffers of %d and %d bytes", in, out)
	}
	go func() {
		for {
			if _, err := c.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for end := time.Now().Add(patience); ; {
		if _, err := got.Read(buf); err != nil {
			t.Fatal(err)
		}
		in, _ := got.Buffers()
		_, out := c.Buffers()
		if in > first && out > first {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the buffers are of %d and %d bytes", in, out)
		}
	}
}
