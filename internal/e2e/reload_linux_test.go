package e2e_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"tstun/filter"
	"tstun/internal/rig"
	"tstun/ipproto"
)

// TestRulesChangeInMidTransfer swaps the filter of the receiving node while two
// kernels' TCP moves data to it. It leaves out the case without the old state and
// without a rule, which has no one outcome: the connection is refused if the peer
// speaks first, and picked up if the host does.
func TestRulesChangeInMidTransfer(t *testing.T) {
	open := []filter.Match{rig.To(rig.Port(allowedPort), ipproto.TCP)}
	tests := []struct {
		name   string
		config func(old *filter.State) filter.Config
		goesOn bool
	}{
		{"re-judge, still allowed", func(old *filter.State) filter.Config { return filter.Config{Matches: open, State: old} }, true},
		{"re-judge, no longer allowed", func(old *filter.State) filter.Config { return filter.Config{State: old} }, false},
		{"keep, no longer allowed", func(old *filter.State) filter.Config { return filter.Config{State: old, Keep: true} }, true},
		{"fresh, still allowed", func(*filter.State) filter.Config { return filter.Config{Matches: open} }, true},
		{"shields up", func(old *filter.State) filter.Config {
			return filter.Config{Matches: open, State: old, ShieldsUp: true}
		}, false},
	}
	a := newKernelNode(t, rig.TUNOfNew(t), host4)
	b := newKernelNode(t, rig.TUNOfNew(t), peer4)
	rig.Join(t, a.Node, b.Node)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			serve(t, b.W, b.Addrs)
			conn, received := transfer(t, a, b)
			move := func(within time.Duration) error {
				want := received.Load() + 8<<20
				if err := conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 64<<10)
				for received.Load() < want {
					if _, err := conn.Write(buf); err != nil {
						return err
					}
				}
				return nil
			}
			const moves, stops = time.Minute, 1500 * time.Millisecond
			if err := move(moves); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			c := tt.config(b.W.GetFilter().State())
			c.Local = rig.Local(b.Addrs...)
			f, err := filter.New(c)
			if err != nil {
				t.Fatal(err)
			}
			b.W.SetFilter(f)
			if tt.goesOn {
				if err := move(moves); err != nil {
					t.Errorf("after the change: %v", err)
				}
				return
			}
			if err := move(stops); !errors.Is(err, os.ErrDeadlineExceeded) && !isReset(err) {
				t.Errorf("after the change: %v, want the transfer to stop", err)
			}
		})
	}
}

// isReset reports whether the other side, or its filter, has ended the connection.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// transfer opens a connection from a to b, and counts the bytes that b receives.
func transfer(t *testing.T, a, b *kernelNode) (net.Conn, *atomic.Int64) {
	t.Helper()
	addr := netip.AddrPortFrom(peer4, allowedPort).String()
	var l net.Listener
	if err := b.NS.Do(func() (err error) { l, err = net.Listen("tcp", addr); return err }); err != nil {
		t.Fatal(err)
	}
	received := new(atomic.Int64)
	ctx, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // until the connection ends, or ctx
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		buf := make([]byte, 64<<10)
		for err == nil {
			var n int
			n, err = c.Read(buf)
			received.Add(int64(n))
		}
	}()
	var conn net.Conn
	if err := a.NS.Do(func() (err error) { conn, err = net.DialTimeout("tcp", addr, time.Minute); return err }); err != nil {
		l.Close()
		end()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A reset instead of a FIN: the other side may not get either.
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
		l.Close()
		end()
		<-done
	})
	return conn, received
}
