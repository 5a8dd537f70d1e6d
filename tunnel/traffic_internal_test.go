package tunnel

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
)

// counted is what a Wrapper counts that is busy at random.
type counted struct {
	random *rand.Rand
	tstun.Counters
}

// more counts more, and returns a snapshot that nothing changes.
func (c *counted) more() tstun.Counters {
	next := tstun.Counters{}
	for _, d := range []struct{ is, next *tstun.DirectionCounters }{{&c.In, &next.In}, {&c.Out, &next.Out}} {
		*d.next = *d.is
		d.next.Drops = maps.Clone(d.is.Drops)
		if d.next.Drops == nil {
			d.next.Drops = make(map[filter.Reason]uint64)
		}
		d.next.Packets += c.random.Uint64N(100)
		d.next.Bytes += c.random.Uint64N(1e6)
		if c.random.IntN(3) == 0 {
			d.next.Drops[filter.Reason(1+c.random.IntN(filter.NumReasons-1))] += c.random.Uint64N(9) + 1
		}
	}
	c.Counters = next
	return next
}

func sumOf(t Traffic) (sum TrafficInterval) {
	for _, i := range t.Intervals {
		sum = sum.plus(i)
	}
	return sum
}

func isCounted(t IntervalTraffic, from, to *tstun.DirectionCounters) bool {
	if t.Packets != to.Packets-from.Packets || t.Bytes != to.Bytes-from.Bytes || t.Dropped() != to.Dropped()-from.Dropped() {
		return false
	}
	for _, r := range filter.Reasons() {
		if t.Drops[r] != to.Drops[r]-from.Drops[r] {
			return false
		}
	}
	return true
}

// Whatever is asked for, the intervals follow each other without a gap, add up to what the
// counters say of the time between, and take no more memory after days.
func TestTrafficAddsUp(t *testing.T) {
	began := time.Unix(1e9, 0)
	c := counted{random: rand.New(rand.NewPCG(1, 2))}
	l := trafficLog{at: began}
	at := map[time.Time]tstun.Counters{began: {}}
	now := began
	check := func(since time.Time, step int, truncated bool, oldest time.Time) {
		t.Helper()
		got := l.sinceLocked(since, now, c.more())
		first := got.Intervals[0].From
		if got.Step != step || got.Truncated != truncated || !first.Equal(oldest) || len(got.Intervals) > longIntervals+1 && len(got.Intervals) > shortIntervals+1 {
			t.Errorf("since %v at %v: step %d, truncated %v, %d intervals from %v; want from %v", since.Sub(began), now.Sub(began), got.Step, got.Truncated, len(got.Intervals), first.Sub(began), oldest.Sub(began))
		}
		for i := range got.Intervals[1:] {
			if !got.Intervals[i].until.Equal(got.Intervals[i+1].From) || got.Intervals[i].Seconds <= 0 {
				t.Fatalf("a gap behind %+v", got.Intervals[i])
			}
		}
		from, sum := at[first], sumOf(got)
		if !isCounted(sum.In, &from.In, &c.In) || !isCounted(sum.Out, &from.Out, &c.Out) || sum.Seconds != now.Sub(first).Seconds() || !sum.until.Equal(now) {
			t.Errorf("since %v: %+v is not what was counted", since.Sub(began), sum)
		}
	}
	pass := func(d time.Duration) {
		for end := now.Add(d); now.Before(end); {
			now = now.Add(time.Second)
			if l.isDueLocked(now) {
				at[now] = c.more()
				l.addLocked(now, at[now])
			}
		}
	}
	check(time.Time{}, 10, false, began)
	pass(35 * time.Second)
	check(time.Time{}, 10, false, began)
	check(began.Add(15*time.Second), 10, false, began.Add(10*time.Second))
	check(now, 10, false, began.Add(30*time.Second))
	pass(2*time.Hour - 35*time.Second)
	check(time.Time{}, 300, false, began)
	check(now.Add(-30*time.Minute), 10, false, now.Add(-30*time.Minute))
	check(now.Add(-90*time.Minute), 300, false, now.Add(-90*time.Minute))
	pass(70 * time.Hour)
	check(time.Time{}, 300, true, now.Add(-24*time.Hour))
	check(now.Add(-23*time.Hour), 300, false, now.Add(-23*time.Hour))
	if cap(l.short.all) > 2*shortIntervals || cap(l.long.all) > 2*longIntervals {
		t.Errorf("%d and %d intervals are kept", cap(l.short.all), cap(l.long.all))
	}
	// What the caller does with an answer is not seen by the next one.
	for _, i := range l.sinceLocked(time.Time{}, now, c.Counters).Intervals {
		clear(i.In.Drops)
		clear(i.Out.Drops)
	}
	check(time.Time{}, 300, true, now.Add(-24*time.Hour))
}
