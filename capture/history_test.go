package capture_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tstun"
	"tstun/capture"
	"tstun/filter"
	"tstun/internal/clock"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/race"
)

// smallHistory has room for 8192 of numbered's packets.
const smallHistory = 1 << 20

func newHistory(t testing.TB, o capture.HistoryOptions) *capture.History {
	t.Helper()
	h, err := capture.NewHistory(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// numbered returns the packet number n, of two cells, n milliseconds after the first.
func numbered(n int) *tstun.Observation {
	o := obs(craft.UDP(peer4, 5, host4, uint16(n%2), fmt.Sprintf("%08d", n)))
	o.Now, o.Inbound = clock.Now()/2+int64(n)*int64(time.Millisecond), true
	return o
}

// excerpt returns what a History has of x: packets, and how many were lost.
func excerpt(t *testing.T, h *capture.History, x capture.Excerpt) (all []entry, lost uint64) {
	t.Helper()
	c, b := start(t, capture.Options{})
	if err := errors.Join(h.Copy(t.Context(), c, x), c.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	all = parse(t, b.bytes()).packets
	if s := c.Stats(); s.Written != uint64(len(all)) || s.Waiting != 0 {
		t.Errorf("%d packets in the file: %+v", len(all), s)
	}
	return all, c.Stats().Lost
}

// number returns which packet it is.
func (e *entry) number() (n int) {
	_, _ = fmt.Sscan(strings.TrimLeft(e.data[28:], "0"), &n)
	return n
}

// TestHistory: of more packets than fit the latest are there, in order, each once, and
// those that are missing are counted.
func TestHistory(t *testing.T) {
	const all = 30000
	h := newHistory(t, capture.HistoryOptions{Memory: smallHistory})
	for n := range all {
		for h.Sink(numbered(n)); n%1000 == 0; {
			if s := h.Stats(); s.Kept <= 8192*6/8 {
				break
			}
			runtime.Gosched() // until there is room
		}
	}
	s := h.Stats()
	now := clock.Time(clock.Now())
	got, lost := excerpt(t, h, capture.Excerpt{Until: now})
	if s.Gone == 0 || s.Kept+s.Gone+s.Lost != all || s.Kept < 8192*5/8-1 || s.Kept > 8192 || uint64(len(got)) > s.Kept {
		t.Errorf("%d packets: %+v", len(got), s)
	}
	missing := 0
	for i := range got {
		if i > 0 {
			missing += got[i].number() - got[i-1].number() - 1
		}
	}
	if uint64(missing) != lost {
		t.Errorf("%d are missing, %d lost", missing, lost)
	}
	if last := got[len(got)-1]; last.number() != all-1 && s.Lost == 0 {
		t.Errorf("the last is %d", last.number())
	}
}

// TestExcerpt: what is asked for, and no more.
func TestExcerpt(t *testing.T) {
	h := newHistory(t, capture.HistoryOptions{Memory: smallHistory, SnapLen: 32})
	base := clock.Now() - int64(time.Minute)
	at := func(n int) time.Time { return clock.Time(base + int64(n)*int64(time.Millisecond)) }
	for n := range 1000 {
		o := numbered(n)
		o.Now = base + int64(n)*int64(time.Millisecond)
		h.Sink(o)
	}
	odd := func(k *capture.Kept) bool {
		return k.Packet.Dst.Port() == 1 && k.Inbound && !k.Verdict.Response.IsDrop()
	}
	for name, test := range map[string]struct {
		excerpt     capture.Excerpt
		first, many int
	}{
		"all":         {capture.Excerpt{Until: at(1000)}, 0, 1000},
		"since":       {capture.Excerpt{Since: at(990), Until: at(1000)}, 990, 10},
		"between":     {capture.Excerpt{Since: at(100), Until: at(200)}, 100, 100},
		"match":       {capture.Excerpt{Since: at(990), Until: at(1000), Match: odd}, 991, 5},
		"count":       {capture.Excerpt{Since: at(500), Count: 3}, 500, 3},
		"count match": {capture.Excerpt{Since: at(500), Count: 3, Match: odd}, 501, 3},
	} {
		got, lost := excerpt(t, h, test.excerpt)
		if len(got) != test.many || lost != 0 || !got[0].time.Equal(at(test.first)) || len(got[0].data) != 32 || got[0].length != 36 {
			t.Errorf("%s: %d packets from %+v on, %d lost", name, len(got), got[0], lost)
		}
	}
}

// TestHistoryFollows: who begins in the past and goes on sees each packet once, from
// several goroutines too.
func TestHistoryFollows(t *testing.T) {
	const each, writers = 1000, 4
	h := newHistory(t, capture.HistoryOptions{Memory: smallHistory})
	c, b := start(t, capture.Options{})
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for n := range each {
				h.Sink(numbered(w*each + n))
			}
		})
	}
	if err := errors.Join(h.Copy(t.Context(), c, capture.Excerpt{Count: each * writers}), c.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	seen := make(map[int]bool)
	for _, p := range parse(t, b.bytes()).packets {
		seen[p.number()] = true
	}
	if s := c.Stats(); len(seen) != each*writers || s.Written != each*writers || s.Lost != 0 {
		t.Errorf("%d packets: %+v", len(seen), s)
	}
}

// TestHistoryOvertakes: a reader that stands still is overtaken, which costs no packet
// its place in the History, and is counted.
func TestHistoryOvertakes(t *testing.T) {
	h := newHistory(t, capture.HistoryOptions{Memory: smallHistory})
	out := newStuck()
	c, err := capture.New(out, capture.Options{Ring: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	<-out.waits // with the file's head
	copied := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	h.Sink(numbered(0))
	go func() { copied <- h.Copy(ctx, c, capture.Excerpt{}) }()
	for c.Stats().Seen == 0 {
		runtime.Gosched()
	}
	n := 1
	for ; h.Stats().Gone < 20000; n++ {
		h.Sink(numbered(n))
	}
	close(out.opened)
	for c.Stats().Seen < uint64(n) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-copied; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.Seen != uint64(n) || s.Lost == 0 || s.Written < 5000 {
		t.Errorf("%d packets: %+v, %+v", n, s, h.Stats())
	}
}

// TestHistoryCloses: the end of a History is the end of who follows it.
func TestHistoryCloses(t *testing.T) {
	h := newHistory(t, capture.HistoryOptions{Memory: smallHistory})
	c, _ := start(t, capture.Options{})
	copied := make(chan error, 1)
	go func() { copied <- h.Copy(t.Context(), c, capture.Excerpt{}) }()
	h.Close()
	if err := <-copied; !errors.Is(err, capture.ErrHistoryClosed) {
		t.Error(err)
	}
	h.Sink(numbered(0))
	if s := h.Stats(); s.Kept+s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestHistoryOptions: what cannot be is refused by name.
func TestHistoryOptions(t *testing.T) {
	for want, o := range map[string]capture.HistoryOptions{
		"history of 0 bytes":         {},
		"history of 2147483648":      {Memory: 1 << 31},
		"history's snap length -1":   {Memory: 1 << 20, SnapLen: -1},
		"history's snap length 3000": {Memory: 1 << 20, SnapLen: 300000},
	} {
		if _, err := capture.NewHistory(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestHistorySinkDoesNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	h := newHistory(t, capture.HistoryOptions{Memory: smallHistory})
	o := numbered(0)
	o.Filter = filter.NewAllowNone(nil)
	if n := testing.AllocsPerRun(1000, func() { h.Sink(o) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkHistory is what a History takes of the path for each packet, with the memory
// full and its oldest packets making room beside: the least of several runs of Write,
// with and without, by turns. lost/packet is how many it had no
// room for.
func BenchmarkHistory(b *testing.B) {
	for _, flows := range []int{1, 1000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			const batch = 128
			l := rig.NewDirectLoad(b, batch, rig.Loads(batch, flows)["udp"], true)
			h := newHistory(b, capture.HistoryOptions{Memory: 16 << 20})
			run := func() float64 {
				began := time.Now()
				for range 2000 {
					l.Write()
				}
				return float64(time.Since(began).Nanoseconds()) / (2000 * batch)
			}
			run()
			off, on := run(), math.Inf(1)
			for b.Loop() {
				l.W.SetCapture(nil)
				off = min(off, run())
				l.W.SetCapture(h.Sink)
				on = min(on, run())
			}
			s := h.Stats()
			b.ReportMetric(on-off, "ns/packet")
			b.ReportMetric(float64(s.Lost)/float64(b.N*2000*batch), "lost/packet")
			b.ReportMetric(0, "ns/op")
		})
	}
}
