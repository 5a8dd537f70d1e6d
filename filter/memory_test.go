package filter_test

import (
	"runtime"
	"testing"

	"tstun/filter"
)

// BenchmarkMemory reports what a flow takes in a table that is full of them.
func BenchmarkMemory(b *testing.B) {
	const n = 1_000_000
	var before, after runtime.MemStats
	var per float64
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		f := newFilter(b, filter.Config{Limits: filter.Limits{Flows: n}})
		for i := range n {
			p := decoded(flooder(i, 80).udpOut())
			f.Record(p, 0)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if got := f.State().Stats().Flows.Entries; got != n {
			b.Fatalf("%d flows, want %d", got, n)
		}
		per = float64(after.HeapAlloc-before.HeapAlloc) / n
	}
	b.ReportMetric(per, "B/flow")
	if per > 160 {
		b.Errorf("a flow takes %.1f bytes, want at most 160", per)
	}
}
