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
	before := heapInUse()
	table := flow.New[state](flow.Config{Limit: n})
	fill(table, n)
	per := float64(heapInUse()-before) / n
	t.Logf("%.1f bytes per entry of %d", per, table.Len())
	if per > 160 {
		t.Errorf("%.1f bytes per entry, want at most 160", per)
	}
	runtime.KeepAlive(table)
}

// TestMemoryIsGivenBack: what many flows took does not stay taken when they have ended,
// neither where Expire is called nor where only new ones come. Those that go on are not
// lost, with their accounts.
func TestMemoryIsGivenBack(t *testing.T) {
	const many, few, soon = 100_000, 1000, 1
	for name, expire := range map[string]func(*flow.Table[state]){
		"Expire": func(table *flow.Table[state]) { table.Expire(soon) },
		"insertions": func(table *flow.Table[state]) {
			for i := range many / 2 {
				k := key(2*many + i)
				table.Upsert(k, flow.Claim{}, soon, func(*flow.Entry[state], bool) flow.Action { return flow.Leave })
				table.Delete(k)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := heapInUse()
			table := flow.New[state](flow.Config{Limit: many})
			table.KeepAccounts(&flow.Accounts[state]{Ended: func(*flow.Record[state], flow.Counts, int64) {}})
			fill(table, many)
			full := heapInUse() - before
			for i := range many {
				id := key(i).ID()
				table.AddID(&id, true, 1, uint64(i), 0)
				if i >= few {
					table.UpdateID(&id, 0, nil, func(e *flow.Entry[state]) flow.Action { e.Expires = soon; return flow.Touch })
				}
			}
			expire(table)
			if left := heapInUse() - before; left > full/10 {
				t.Errorf("%d bytes are in use for %d entries, and %d were for %d", left, table.Len(), full, many)
			}
			sum := uint64(0)
			table.Take(func(k flow.Key, c flow.Counts) {
				sum += c.RxBytes
				if e, ok := table.Peek(k, soon); !ok || uint64(e.a) != c.RxBytes {
					t.Errorf("%v: %+v, %v, with %+v", k, e, ok, c)
				}
			})
			if want := uint64(few * (few - 1) / 2); sum != want || table.Len() != few {
				t.Errorf("%d entries with %d bytes, want %d with %d", table.Len(), sum, few, want)
			}
		})
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func fill(table *flow.Table[state], n int) {
	for i := range n {
		table.Upsert(key(i), flow.Claim{}, 0, func(e *flow.Entry[state], _ bool) flow.Action {
			e.Value.a = uint32(i)
			return flow.Touch
		})
	}
}
