package capture

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"tstun"
)

// TestRingWraps: records of any length keep their bytes and order where positions,
// counts and memory wrap, and there is room for as many as are free.
func TestRingWraps(t *testing.T) {
	r := newRing(64 * cellSize)
	start := ^uint32(0) - 1000
	taken := uint64(countBits/countOne) - 100
	r.head.Store(taken*countOne | uint64(start))
	r.tail.Store(start)
	r.wakeAt.Store(start + asleepNot)
	w := &writer{c: &Capture{recorder: recorder{ring: r}}, pos: start}
	rng := rand.New(rand.NewPCG(1, 2))
	var queue [][]byte
	full, used := 0, 0
	for i := range 10000 {
		if rec := randomRecord(rng); rng.IntN(2) == 0 {
			n := cellsFor(len(rec))
			at, ok := r.reserve(n)
			if ok != (used+int(n) <= 64) {
				t.Fatalf("step %d: %d cells reserved: %v, with %d in use", i, n, ok, used)
			}
			if ok {
				if w.pos+uint32(used) != at || r.waiting(taken) != uint64(len(queue)+1) {
					t.Fatalf("step %d: at %d, %d wait", i, at, r.waiting(taken))
				}
				copy(r.first(at, 1), rec)
				r.put(at, 1, rec[1:])
				r.commit(at, n)
				queue = append(queue, rec)
				used += int(n)
			} else {
				full++
			}
			continue
		}
		n := w.next()
		if (n != 0) != (len(queue) > 0) || w.isEmpty() != (len(queue) == 0) {
			t.Fatalf("step %d: a record of %d cells, want %d records", i, n, len(queue))
		}
		if n == 0 {
			continue
		}
		got := append(bytes.Clone(r.first(w.pos, 1)), r.get(w.pos, 1, len(queue[0])-1, nil)...)
		if !bytes.Equal(got, queue[0]) || n != cellsFor(len(got)) {
			t.Fatalf("step %d: another record", i)
		}
		w.take(n)
		w.free()
		taken++
		used -= int(n)
		queue = queue[1:]
	}
	if full < 100 || w.pos > start {
		t.Errorf("full %d times, at position %d: a test of nothing", full, w.pos)
	}
	r.close()
	if _, ok := r.reserve(1); ok || !r.isClosed() || r.waiting(taken) != uint64(len(queue)) || r.end() != w.pos+uint32(used) {
		t.Errorf("closed: reserved %v, %d wait", ok, r.waiting(taken))
	}
}

// randomRecord returns a record of random bytes, and now and then one that needs many cells.
func randomRecord(rng *rand.Rand) []byte {
	b := make([]byte, 1+rng.IntN(300))
	if rng.IntN(10) == 0 {
		b = make([]byte, 1+rng.IntN(64*cellSize))
	}
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestCloseWaitsForProducers: a record that was reserved before Close is written, though
// its producer comes late, and counted as waiting until then.
func TestCloseWaitsForProducers(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			pr, pw := io.Pipe()
			defer pr.Close()
			go io.Copy(io.Discard, pr)
			c, err := New(pw, Options{})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			at, _ := c.ring.reserve(1)
			if fails {
				pw.Close()
				c.Sink(&tstun.Observation{}) // behind it
			}
			c.ring.close()
			time.Sleep(time.Second) // the writer looks some times
			if s := c.Stats(); s.Waiting == 0 || s.Seen != s.Waiting {
				t.Errorf("before it is committed: %+v", s)
			}
			c.fill(at, &record{}, &tstun.Observation{})
			c.ring.commit(at, 1)
			<-c.Done()
			want := Stats{Seen: 1, Written: 1}
			if fails {
				want = Stats{Seen: 2, Lost: 2}
			}
			if s := c.Stats(); s != want || (c.Err() != nil) != fails {
				t.Errorf("fails=%v: %+v, %v, want %+v", fails, s, c.Err(), want)
			}
			pw.Close()
		})
	}
}
