package flow_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"tstun/flow"
)

func TestNoAllocation(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 2000})
	n := 0
	work := func() {
		n++
		put(table, key(n), 0, int64(n), flow.Never, n, 0)
		table.Update(key(n-5), int64(n), func(e *flow.Entry[int]) flow.Action {
			e.Value++
			return flow.Touch
		})
		table.Peek(key(n-7), int64(n))
		table.Delete(key(n - 9))
	}
	for range 10000 {
		work()
	}
	if a := testing.AllocsPerRun(1000, work); a != 0 {
		t.Errorf("%v allocations per round, want 0", a)
	}
}

// state is of the size of the filter's.
type state struct{ a, b uint32 }

func TestMemoryPerEntry(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a large table")
	}
	const n = 1_000_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	table := flow.New[state](flow.Config{Limit: n})
	fill(table, n)
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := float64(after.HeapAlloc-before.HeapAlloc) / n
	t.Logf("%.1f bytes per entry of %d", per, table.Len())
	if per > 160 {
		t.Errorf("%.1f bytes per entry, want at most 160", per)
	}
	runtime.KeepAlive(table)
}

func fill(table *flow.Table[state], n int) {
	for i := range n {
		table.Upsert(key(i), 0, 0, func(e *flow.Entry[state], _ bool) flow.Action {
			e.Value.a = uint32(i)
			return flow.Touch
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 1000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := flow.New[state](flow.Config{Limit: 1_000_000})
			fill(table, n)
			keys := make([]flow.Key, 1<<16)
			for i := range keys {
				keys[i] = key(rand.IntN(n))
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				table.Update(keys[i%len(keys)], 0, func(e *flow.Entry[state]) flow.Action {
					e.Value.b++
					return flow.Touch
				})
				i++
			}
		})
	}
}

// BenchmarkInsertFull is what a flood of new flows costs a full table.
func BenchmarkInsertFull(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := flow.New[state](flow.Config{Limit: n})
			fill(table, n)
			i := n
			b.ReportAllocs()
			for b.Loop() {
				i++
				table.Upsert(key(i), 0, int64(i), func(*flow.Entry[state], bool) flow.Action { return flow.Touch })
			}
		})
	}
}
