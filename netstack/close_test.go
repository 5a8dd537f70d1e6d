package netstack_test

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tstun"
	"tstun/filter"
	"tstun/netstack"
)

// traffic does everything that a stack can do, until it is closed.
func traffic(from, to *node) *sync.WaitGroup {
	var wg sync.WaitGroup
	all, cancel := context.WithTimeout(context.Background(), patience)
	until := func(f func() error) {
		wg.Go(func() {
			for all.Err() == nil {
				if err := f(); err != nil && isClosed(err) {
					return
				}
			}
		})
	}
	l, err := to.s.Listen("tcp", ":80")
	if err == nil {
		wg.Go(func() {
			defer l.Close()
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { io.Copy(io.Discard, c); c.Close() })
			}
		})
	}
	until(func() error {
		one, cancel := context.WithTimeout(all, time.Second)
		defer cancel()
		c, err := from.s.DialContext(one, "tcp", to.on(to.v4, 80))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = io.CopyN(c, pattern(1), 100_000)
		return err
	})
	until(func() error {
		one, cancel := context.WithTimeout(all, time.Second)
		defer cancel()
		_, err := from.s.Ping(one, to.v6)
		return err
	})
	until(func() error {
		c, err := from.s.DialContext(all, "udp", to.on(to.v4, 7))
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Millisecond))
		_, err = c.Write(make([]byte, 3000))
		return err
	})
	go func() { wg.Wait(); cancel() }()
	return &wg
}

// LESSONS.md 3: stacks and Wrappers are closed in any order, in the middle of
// traffic, without a hang, a race or a goroutine left.
func TestCloseAtAnyTime(t *testing.T) {
	orders := []struct {
		name  string
		close func(a, b *node)
	}{
		{"stack first", func(a, b *node) { a.s.Close(); b.s.Close(); a.w.Close(); b.w.Close() }},
		{"wrapper first", func(a, b *node) { a.w.Close(); b.w.Close(); a.s.Close(); b.s.Close() }},
		{"crosswise", func(a, b *node) { a.w.Close(); b.s.Close(); a.s.Close(); b.w.Close() }},
		{"at once", func(a, b *node) {
			var wg sync.WaitGroup
			for _, c := range []io.Closer{a.s, b.w, a.w, b.s, a.s, b.w} {
				wg.Go(func() { c.Close() })
			}
			wg.Wait()
		}},
	}
	for _, order := range orders {
		for _, after := range []int64{1, 2, 50, 2000} { // packets
			t.Run(order.name, func(t *testing.T) {
				before := goleak.IgnoreCurrent()
				a, b := newNode(t, 0), newNode(t, 1)
				var packets atomic.Int64
				enough := make(chan struct{})
				connect(t, a, b, func([]byte) bool {
					if packets.Add(1) == after {
						close(enough)
					}
					return true
				})
				a.start(t)
				b.start(t)
				wg := traffic(a, b)
				<-enough
				began := time.Now()
				order.close(a, b)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("closing took %v", took)
				}
				wg.Wait()
				goleak.VerifyNone(t, before)
			})
		}
	}
}

func TestCloseBeforeUse(t *testing.T) {
	w := tstun.Wrap(nil, tstun.NewFake())
	s, err := netstack.New(w, netstack.Config{Addrs: nodeAddrs[0][:]})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestAfterClose(t *testing.T) {
	a, b := backToBack(t)
	c, err := a.s.ListenPacket("udp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	a.s.Close()
	calls := map[string]func() error{
		"dial tcp":      func() error { _, err := a.s.DialContext(ctx(t), "tcp", b.on(b.v4, 80)); return err },
		"dial udp":      func() error { _, err := a.s.DialContext(ctx(t), "udp", b.on(b.v4, 80)); return err },
		"listen":        func() error { _, err := a.s.Listen("tcp", ":80"); return err },
		"listen packet": func() error { _, err := a.s.ListenPacket("udp", ":80"); return err },
		"ping":          func() error { _, err := a.s.Ping(ctx(t), b.v4); return err },
	}
	for name, call := range calls {
		if err := call(); !isClosed(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.SetDeadline(time.Now().Add(patience))
	if _, _, err := c.ReadFrom(make([]byte, 10)); err == nil {
		t.Error("read from a socket of a closed stack")
	}
	c.Close()
	// The hooks stay, and let nothing through to the device.
	receive(t, a.w, udpPacket(b.on(b.v4, 1), a.on(a.v4, 2), "late"))
	if n := a.w.Counters().In.Drops[filter.ReasonHook]; n != 1 {
		t.Errorf("%d packets dropped, want 1", n)
	}
}
