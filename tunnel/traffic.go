package tunnel

import (
	"maps"
	"sync"
	"time"

	"tstun"
	"tstun/filter"
)

// How long what passed and was dropped is remembered: an hour by steps of ten seconds, and
// a day by steps of five minutes. An interval takes about 100 bytes, and 30 more for each
// reason for which something was dropped in it.
const (
	trafficStep    = 10 * time.Second
	trafficFold    = 30 // short intervals that are one long one
	shortIntervals = int(time.Hour / trafficStep)
	longIntervals  = int(24 * time.Hour / (trafficFold * trafficStep))
)

// Traffic is what passed and was dropped over time.
type Traffic struct {
	// Step is how long the intervals are in seconds: 10, or 300. The last is shorter, and
	// one in which the process did not run is longer.
	Step int `json:"step"`
	// Truncated: of what was asked for, that before the first interval is not remembered.
	Truncated bool              `json:"truncated,omitempty"`
	Intervals []TrafficInterval `json:"intervals"` // each begins where the one before it ends
}

// TrafficInterval is what passed and was dropped between two moments. Over all intervals
// since Start it adds up to the Counters of the last moment.
type TrafficInterval struct {
	From time.Time `json:"from"`
	// Seconds is how long it is by a clock that nobody sets, and that stands still while
	// the system sleeps.
	Seconds float64         `json:"seconds"`
	In      IntervalTraffic `json:"in"`  // from peers to the host
	Out     IntervalTraffic `json:"out"` // from the host to peers

	until time.Time
}

// IntervalTraffic is one direction of a TrafficInterval.
type IntervalTraffic struct {
	FlowTraffic                          // of what passed
	Drops       map[filter.Reason]uint64 `json:"drops,omitempty"` // packets, of reasons that occurred
}

// Traffic returns what passed and was dropped since a time, or since Start if that is
// zero, as far as it is remembered: by steps of ten seconds if those of the last hour
// are enough, and else by steps of five minutes, for a day. The first interval begins at
// the time or within a step before it; the last ends now. The caller owns it.
func (t *Tunnel) Traffic(since time.Time) Traffic {
	l := &t.traffic
	l.mu.Lock()
	defer l.mu.Unlock()
	c := t.wrapper.Counters()
	return l.sinceLocked(since, time.Now(), c)
}

// lookAtTraffic notes what passed in the last step, if it is over.
func (t *Tunnel) lookAtTraffic() {
	l := &t.traffic
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.isDueLocked(now) {
		c := t.wrapper.Counters()
		l.addLocked(now, c)
	}
}

// trafficLog remembers what passed in intervals. Start sets when the first one began.
type trafficLog struct {
	mu     sync.Mutex      // guards what is below
	at     time.Time       // when the last interval ended, or the tunnel began
	seen   tstun.Counters  // at that moment
	short  intervals       // of trafficStep
	long   intervals       // of trafficFold of those
	open   TrafficInterval // the long one that is not over
	folded int             // short ones in it
}

// isDueLocked reports whether an interval is over. Who asks does so each second, and
// not to the millisecond.
func (l *trafficLog) isDueLocked(now time.Time) bool {
	return now.Sub(l.at) >= trafficStep-observePeers/2
}

// addLocked ends an interval.
func (l *trafficLog) addLocked(now time.Time, c tstun.Counters) {
	i := l.currentLocked(now, c)
	l.short.put(i, shortIntervals)
	l.open = l.open.plus(i)
	if l.folded++; l.folded == trafficFold {
		l.long.put(l.open, longIntervals)
		l.open, l.folded = TrafficInterval{}, 0
	}
	l.at, l.seen = now, c
}

// currentLocked returns the interval that is not over.
func (l *trafficLog) currentLocked(now time.Time, c tstun.Counters) TrafficInterval {
	return TrafficInterval{
		From: l.at, until: now, Seconds: now.Sub(l.at).Seconds(),
		In: trafficBetween(&l.seen.In, &c.In), Out: trafficBetween(&l.seen.Out, &c.Out),
	}
}

func (l *trafficLog) sinceLocked(since, now time.Time, c tstun.Counters) Traffic {
	current := l.currentLocked(now, c)
	from, step, last := &l.short, trafficStep, current
	if l.short.lost && l.short.first().After(since) {
		from, step, last = &l.long, trafficFold*trafficStep, l.open.plus(current)
	}
	t := Traffic{Step: int(step / time.Second), Truncated: from.lost && from.first().After(since), Intervals: []TrafficInterval{}}
	for i := range from.all {
		if x := &from.all[(from.next+i)%len(from.all)]; x.until.After(since) {
			t.Intervals = append(t.Intervals, x.clone())
		}
	}
	t.Intervals = append(t.Intervals, last)
	return t
}

// intervals are the latest ones. The zero value is empty.
type intervals struct {
	all  []TrafficInterval // a ring, once it is full
	next int               // where the oldest is, and the next one goes
	lost bool              // there were others
}

func (r *intervals) put(i TrafficInterval, limit int) {
	if len(r.all) < limit {
		r.all = append(r.all, i)
		return
	}
	r.all[r.next] = i
	r.next, r.lost = (r.next+1)%limit, true
}

// first returns when the oldest began. There must be one.
func (r *intervals) first() time.Time { return r.all[r.next].From }

// trafficBetween returns what was counted between two moments.
func trafficBetween(was, is *tstun.DirectionCounters) IntervalTraffic {
	t := IntervalTraffic{FlowTraffic: FlowTraffic{is.Packets - was.Packets, is.Bytes - was.Bytes}}
	for r, n := range is.Drops {
		if n -= was.Drops[r]; n > 0 {
			t.drop(r, n)
		}
	}
	return t
}

func (t *IntervalTraffic) drop(r filter.Reason, n uint64) {
	if t.Drops == nil {
		t.Drops = make(map[filter.Reason]uint64)
	}
	t.Drops[r] += n
}

// plus returns the interval and the one behind it as one. The zero value is nothing.
func (i TrafficInterval) plus(next TrafficInterval) TrafficInterval {
	if i.From.IsZero() {
		i.From = next.From
	}
	return TrafficInterval{From: i.From, until: next.until, Seconds: i.Seconds + next.Seconds, In: i.In.Plus(next.In), Out: i.Out.Plus(next.Out)}
}

// Plus returns the sum of both.
func (t IntervalTraffic) Plus(o IntervalTraffic) IntervalTraffic {
	sum := IntervalTraffic{FlowTraffic: FlowTraffic{t.Packets + o.Packets, t.Bytes + o.Bytes}}
	for _, drops := range []map[filter.Reason]uint64{t.Drops, o.Drops} {
		for r, n := range drops {
			sum.drop(r, n)
		}
	}
	return sum
}

// Dropped returns how many packets were dropped, for whatever reason.
func (t IntervalTraffic) Dropped() (n uint64) {
	for _, of := range t.Drops {
		n += of
	}
	return n
}

func (i *TrafficInterval) clone() TrafficInterval {
	c := *i
	c.In.Drops, c.Out.Drops = maps.Clone(i.In.Drops), maps.Clone(i.Out.Drops)
	return c
}
