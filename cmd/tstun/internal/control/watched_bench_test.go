package control_test

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/control"
	"tstun/tunnel"
)

// BenchmarkWatched is what a tunnel keeps of its throughput while it is watched as by
// top, flows --watch and events -f at once: kept is the median of quotients of transfers
// of 64 MiB, watched beside not, by turns.
func BenchmarkWatched(b *testing.B) {
	from, to := pair(b)
	_, c := serve(b, from)
	var kept []float64
	for b.Loop() {
		alone := transfer(b, from, to)
		stop := watch(b, c)
		kept = append(kept, alone.Seconds()/transfer(b, from, to).Seconds())
		stop()
	}
	slices.Sort(kept)
	b.ReportMetric(kept[len(kept)/2], "kept")
	b.ReportMetric(0, "ns/op")
}

// watch watches a tunnel until stop is called.
func watch(tb testing.TB, c *control.Client) (stop func()) {
	ctx, cancel := context.WithCancel(tb.Context())
	var running sync.WaitGroup
	ignore := func([]byte) error { return nil }
	running.Go(func() { _ = c.Events(ctx, true, ignore) })
	running.Go(func() { _, _ = c.Flows(ctx, control.FlowsQuery{Follow: true}, ignore) })
	running.Go(func() { // as top, which asks at most four times a second
		for ctx.Err() == nil {
			_, _ = c.Flows(ctx, control.FlowsQuery{Limit: 500}, ignore)
			_, _ = c.Status(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// transfer returns how long 64 MiB take from one tunnel to the other.
func transfer(tb testing.TB, from, to *tunnel.Tunnel) time.Duration {
	const size = 64 << 20
	l, err := to.Listen(tb.Context(), "tcp", ":80")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	got := make(chan int64, 1)
	go func() {
		s, err := l.Accept()
		if err != nil {
			got <- 0
			return
		}
		n, _ := io.Copy(io.Discard, s)
		_ = s.Close()
		got <- n
	}()
	c, err := from.DialContext(tb.Context(), "tcp", "10.9.0.2:80")
	if err != nil {
		tb.Fatal(err)
	}
	began := time.Now()
	piece := make([]byte, 64<<10)
	for range size / len(piece) {
		if _, err := c.Write(piece); err != nil {
			tb.Fatal(err)
		}
	}
	_ = c.Close()
	if n := <-got; n != size {
		tb.Fatalf("%d bytes arrived", n)
	}
	return time.Since(began)
}
