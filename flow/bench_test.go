package flow_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tstun/flow"
)

const (
	million = 1_000_000
	sampled = 1 << 18
)

// sample returns many of the keys 0 to n-1.
func sample(n int) []flow.Key {
	keys := make([]flow.Key, sampled)
	for i := range keys {
		keys[i] = key(rand.IntN(n))
	}
	return keys
}

// use is what is done to a flow that is looked up.
func use(e *flow.Entry[state]) flow.Action {
	e.Value.b++
	return flow.Touch
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 1000, million} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := flow.New[state](flow.Config{Limit: million})
			fill(table, n)
			keys := sample(n)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				table.Update(keys[i%sampled], 0, use)
				i++
			}
		})
	}
}

// BenchmarkLookupFloor compares look-ups among a million flows with reads at
// random places of as much memory, each of which waits for the one before. The
// two alternate, because machines are not equally fast at all times.
func BenchmarkLookupFloor(b *testing.B) {
	const step = 2000
	table := flow.New[state](flow.Config{Limit: million})
	fill(table, million)
	keys := sample(million)
	places := cycle(2 * million)
	var lookUps, reads []float64
	at := uint32(0)
	for b.Loop() {
		from := rand.IntN(len(keys) - step)
		lookUps = append(lookUps, perOp(step, func() {
			for _, k := range keys[from : from+step] {
				table.Update(k, 0, use)
			}
		}))
		reads = append(reads, perOp(step, func() {
			for range step {
				at = places[at][0]
			}
		}))
	}
	runtime.KeepAlive(at)
	l, r := median(lookUps), median(reads)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(l, "lookup-ns")
	b.ReportMetric(r, "read-ns")
	b.ReportMetric(l/r, "lookup/read")
}

// cycle returns n cache lines, each of which holds the number of another one,
// in a single cycle at random.
func cycle(n int) [][16]uint32 {
	lines := make([][16]uint32, n)
	order := rand.Perm(n)
	for i, at := range order {
		lines[at][0] = uint32(order[(i+1)%n])
	}
	return lines
}

func perOp(n int, f func()) float64 {
	start := time.Now()
	f()
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

func median(f []float64) float64 {
	slices.Sort(f)
	return f[len(f)/2]
}

// BenchmarkReceivers has several goroutines look flows up at once. The time is
// that of a look-up as each of them sees it.
func BenchmarkReceivers(b *testing.B) {
	table := flow.New[state](flow.Config{Limit: million})
	fill(table, million)
	keys := sample(million)
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var wg sync.WaitGroup
			for g := range n {
				wg.Go(func() {
					for i := range b.N {
						table.Update(keys[(i+g<<16)%sampled], 0, use)
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkInsertFull is what a flood of new flows costs a full table.
func BenchmarkInsertFull(b *testing.B) {
	for _, n := range []int{1000, million} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := flow.New[state](flow.Config{Limit: n})
			fill(table, n)
			i := n
			b.ReportAllocs()
			for b.Loop() {
				i++
				flood(table, i)
			}
		})
	}
}

func flood(table *flow.Table[state], i int) {
	table.Upsert(key(i), flow.Claim{}, int64(i), func(*flow.Entry[state], bool) flow.Action { return flow.Touch })
}

// BenchmarkFlood measures look-ups of established flows in a full table,
// alternately without and with another goroutine that inserts new flows all
// the time.
func BenchmarkFlood(b *testing.B) {
	const step = 5000
	table := flow.New[state](flow.Config{Limit: million})
	for i := range million / 2 {
		table.Upsert(key(i), flow.Claim{}, 0, func(e *flow.Entry[state], _ bool) flow.Action {
			e.Rank = 1
			return flow.Touch
		})
	}
	keys := sample(million / 2)
	next := million
	for range million {
		next++
		flood(table, next)
	}
	measure := func() float64 {
		from := rand.IntN(len(keys) - step)
		return perOp(step, func() {
			for _, k := range keys[from : from+step] {
				table.Update(k, 0, use)
			}
		})
	}
	var quiet, flooded []float64
	start, inserted := next, time.Duration(0)
	for b.Loop() {
		quiet = append(quiet, measure())
		var running, stop atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			began := time.Now()
			for !stop.Load() {
				next++
				flood(table, next)
				running.Store(true)
			}
			inserted += time.Since(began)
		})
		for !running.Load() {
			runtime.Gosched()
		}
		flooded = append(flooded, measure())
		stop.Store(true)
		wg.Wait()
	}
	q, f := median(quiet), median(flooded)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(q, "quiet-ns")
	b.ReportMetric(f, "flooded-ns")
	b.ReportMetric(f/q, "flooded/quiet")
	b.ReportMetric(float64(inserted.Nanoseconds())/float64(next-start), "insert-ns")
	if _, ok := table.Update(keys[0], 0, func(*flow.Entry[state]) flow.Action { return flow.Leave }); !ok || table.Len() != million {
		b.Error("the flood has pushed out an established flow")
	}
}

// BenchmarkFill inserts a million flows into an empty table, which grows with
// them. Each of the several hundred shards grows last when it holds most; the
// hundredth slowest insertion tells how long that takes, and is rarely one
// during which something else used the processor.
func BenchmarkFill(b *testing.B) {
	var grow []float64
	took := make([]float64, million)
	for b.Loop() {
		table := flow.New[state](flow.Config{Limit: million})
		for i := range took {
			took[i] = perOp(1, func() { flood(table, i) })
		}
		slices.Sort(took)
		grow = append(grow, took[million-100])
	}
	b.ReportMetric(median(grow)/1000, "grow-µs")
}
