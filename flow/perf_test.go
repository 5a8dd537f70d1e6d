package flow_test

import (
	"runtime"
	"testing"
	"unsafe"

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

// An entry of this size is one cache line.
func TestEntrySize(t *testing.T) {
	if n := unsafe.Sizeof(flow.Entry[state]{}); n != 64 {
		t.Errorf("an entry takes %d bytes, want 64", n)
	}
}

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
		table.Upsert(key(i), flow.Claim{}, 0, func(e *flow.Entry[state], _ bool) flow.Action {
			e.Value.a = uint32(i)
			return flow.Touch
		})
	}
}
