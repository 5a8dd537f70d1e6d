package netstack_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tstun/internal/rig/race"
)

// sink accepts connections of a node and keeps them, unread, until the test
// ends.
type sink struct {
	mu    sync.Mutex
	conns []net.Conn
	more  chan struct{} // for each one
}

func newSink(t testing.TB, n *node, port int) *sink {
	t.Helper()
	l := mustListen(t, n.s, "tcp", fmt.Sprintf(":%d", port))
	s := &sink{more: make(chan struct{}, 100_000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.more <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range s.conns {
			c.Close()
		}
	})
	return s
}

// wait returns when n more connections have come.
func (s *sink) wait(t testing.TB, n int) {
	t.Helper()
	all := ctx(t)
	for range n {
		select {
		case <-s.more:
		case <-all.Done():
			t.Fatalf("%d connections came", len(s.conns))
		}
	}
}

// atOnce is how many connections open at the same moment: the Wrapper's queue
// has place for four times as many SYNs.
const atOnce = 256

// dialMany opens n connections, and returns those that were and an error.
func dialMany(t testing.TB, from *node, to string, n int) (conns []net.Conn, failed error) {
	var mu sync.Mutex
	all := ctx(t)
	each(n, func(int) {
		c, err := from.s.DialContext(all, "tcp", to)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = err
			return
		}
		conns = append(conns, c)
	})
	t.Cleanup(func() {
		for _, c := range conns {
			c.Close()
		}
	})
	return conns, failed
}

// each calls f for 0 to n-1, so many at once.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range atOnce {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wg.Wait()
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// Ten thousand connections at once, each of which has carried something both
// ways; and what an idle one costs: at most 16 KiB, both ends together.
func TestTenThousandConnections(t *testing.T) {
	n := 10_000
	if race.Enabled {
		n = 500
	}
	a, b := backToBack(t)
	accepted := newSink(t, b, 80)
	mustDial(t, a.s, "tcp", b.on(b.v4, 80)) // so that what there is once is there
	accepted.wait(t, 1)
	accepted.conns = nil
	before := heap()
	conns, err := dialMany(t, a, b.on(b.v4, 80), n)
	if len(conns) != n {
		t.Fatalf("%d of %d connections: %v", len(conns), n, err)
	}
	accepted.wait(t, n)
	say := func(from, to []net.Conn) {
		each(n, func(i int) {
			if _, err := from[i].Write([]byte("hello")); err != nil {
				t.Error(err)
			}
		})
		each(n, func(i int) {
			to[i].SetDeadline(time.Now().Add(patience))
			var got [5]byte
			if _, err := io.ReadFull(to[i], got[:]); err != nil || string(got[:]) != "hello" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	say(conns, accepted.conns)
	say(accepted.conns, conns)
	cost := (heap() - before) / int64(n)
	t.Logf("%d bytes for each idle connection, both ends", cost)
	if !race.Enabled && cost > 16<<10 {
		t.Errorf("an idle connection takes %d bytes, want at most %d", cost, 16<<10)
	}
}
