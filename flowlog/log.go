package flowlog

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"tstun"
	"tstun/netlogtype"
)

// DefaultMemory is the memory of a Log in bytes where Config has none.
const DefaultMemory = 16 << 20

// expireEvery is how often flows that are over are looked for.
const expireEvery = time.Second

// Config says how much a Log keeps.
type Config struct {
	// Memory is for the records, in bytes, of which each takes RecordSize. 0:
	// DefaultMemory.
	Memory int
}

// RecordSize is the memory of one record in bytes.
const RecordSize = int(unsafe.Sizeof(packed{}))

// Log is a flight recorder of a Wrapper's flows. A Wrapper has one at a time. All methods
// may be called from any goroutine.
type Log struct {
	w        *tstun.Wrapper
	ring     *ring
	watchers atomic.Int32 // Subscriptions: beginnings are recorded for them alone

	closing sync.Once
	closed  chan struct{}
	running sync.WaitGroup
}

// New begins to record the flows of w, and switches its flow records on. Once a second it
// looks for flows that are over.
func New(w *tstun.Wrapper, c Config) *Log {
	if c.Memory <= 0 {
		c.Memory = DefaultMemory
	}
	l := &Log{w: w, ring: newRing(c.Memory / RecordSize), closed: make(chan struct{})}
	w.SetFlowEvents(&tstun.FlowEvents{Began: l.began, Ended: l.ended, Refused: l.refused, RefusedEnded: l.refusedEnded})
	w.SetFlowRecordsEnabled(true)
	l.running.Go(l.expire)
	return l
}

// Close ends the recording, and switches the flow records off. Subscriptions get what was
// recorded and then ErrClosed.
func (l *Log) Close() {
	l.closing.Do(func() {
		l.w.SetFlowEvents(nil)
		l.w.SetFlowRecordsEnabled(false)
		close(l.closed)
	})
	l.running.Wait()
}

func (l *Log) expire() {
	ticks := time.NewTicker(expireEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			l.w.ExpireFlows()
		case <-l.closed:
			return
		}
	}
}

func (l *Log) began(f tstun.FlowRecord) {
	if l.watchers.Load() != 0 {
		l.put(&Record{Kind: Began, Time: f.First, Flow: f})
	}
}

func (l *Log) refused(f tstun.RefusedRecord) {
	if l.watchers.Load() != 0 {
		l.put(&Record{Kind: Refused, Time: f.First, Refused: f})
	}
}

func (l *Log) ended(f tstun.FlowRecord, at time.Time) {
	l.put(&Record{Kind: Ended, Time: at, Flow: f})
}

func (l *Log) refusedEnded(f tstun.RefusedRecord, at time.Time) {
	l.put(&Record{Kind: RefusedEnded, Time: at, Refused: f})
}

func (l *Log) put(r *Record) {
	p := pack(r)
	l.ring.put(&p)
}

// Since returns the flows that ended, and those that were refused, of which the last packet
// was counted at t or later: first those that were forgotten, in the order of that, and
// then those that are not, of the moment at which the sequence is first asked. What was
// pushed out of the memory is not among them. It holds nobody up.
func (l *Log) Since(t time.Time) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		from := l.ring.end()
		live, keys := l.live(t)
		for r, number := range l.recorded(l.ring.end()) {
			if r.Kind != Ended && r.Kind != RefusedEnded || r.Last().Before(t) {
				continue
			}
			if number >= from && keys[keyOf(&r)] {
				continue // it was forgotten as the live ones were asked for
			}
			if !yield(r) {
				return
			}
		}
		for _, r := range live {
			if !yield(r) {
				return
			}
		}
	}
}

// key tells a flow from others.
type key struct {
	netlogtype.Connection
	refused bool
	first   int64
}

func keyOf(r *Record) key {
	first := r.Flow.First
	if r.Kind.IsRefused() {
		first = r.Refused.First
	}
	return key{r.Connection(), r.Kind.IsRefused(), first.UnixNano()}
}

// live returns what Since does of the flows that are not forgotten.
func (l *Log) live(t time.Time) (live []Record, keys map[key]bool) {
	keys = make(map[key]bool)
	add := func(r Record) {
		if !r.Last().Before(t) {
			live = append(live, r)
			keys[keyOf(&r)] = true
		}
	}
	flows := l.w.Flows()
	for f := range flows.All {
		if f.End != tstun.FlowOpen {
			add(Record{Kind: Ended, Time: f.Last, Flow: f})
		}
	}
	for f := range flows.Refused {
		add(Record{Kind: Refused, Time: f.Last, Refused: f})
	}
	return live, keys
}

// copied is how many records are copied at once.
const copied = 256

// recorded returns the records up to a number, with their numbers.
func (l *Log) recorded(end uint64) iter.Seq2[Record, uint64] {
	return func(yield func(Record, uint64) bool) {
		buf := make([]packed, copied)
		for at := uint64(0); at < end; {
			n, first := l.ring.read(buf, at)
			for i := range n {
				if number := first + uint64(i); number >= end || !yield(buf[i].unpack(), number) {
					return
				}
			}
			at = first + uint64(n)
		}
	}
}
