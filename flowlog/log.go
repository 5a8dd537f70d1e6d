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
	// Refused, if it is set, is told of each refused flow at its first packet, also where
	// nobody subscribed. It is called as tstun.FlowEvents.Refused is.
	Refused func(tstun.RefusedRecord)
}

// RecordSize is the memory of one record in bytes.
const RecordSize = int(unsafe.Sizeof(packed{}))

// Log is a flight recorder of a Wrapper's flows. A Wrapper has one at a time. All methods
// may be called from any goroutine.
type Log struct {
	w        *tstun.Wrapper
	ring     *ring
	onRefuse func(tstun.RefusedRecord) // nil: none
	watchers atomic.Int32              // Subscriptions: beginnings are recorded for them alone

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
	l := &Log{w: w, ring: newRing(c.Memory / RecordSize), onRefuse: c.Refused, closed: make(chan struct{})}
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
	if l.onRefuse != nil {
		l.onRefuse(f)
	}
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
// then those that are not, of the moment at which the sequence begins. What was
// pushed out of the memory is not among them. It holds nobody up.
func (l *Log) Since(t time.Time) iter.Seq[Record] { return l.walk(t, false) }

// Flows returns what Since does, and after that each flow that is open, as Updated. It keeps
// a FlowSnapshot, and no record, until the sequence ends.
func (l *Log) Flows(t time.Time) iter.Seq[Record] { return l.walk(t, true) }

func (l *Log) walk(t time.Time, open bool) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		from := l.ring.end()
		flows := l.w.Flows()
		both := make(map[key]bool) // in the snapshot, and forgotten since
		for r, number := range l.recorded(l.ring.end()) {
			if r.Kind != Ended && r.Kind != RefusedEnded {
				continue
			}
			if number >= from {
				both[keyOf(&r)] = true
			}
			if !r.Last().Before(t) && !yield(r) {
				return
			}
		}
		for r := range snapshotted(flows) {
			wanted := !r.Last().Before(t)
			if r.Kind == Updated {
				wanted = open
			}
			if wanted && (len(both) == 0 || !both[keyOf(&r)]) && !yield(r) {
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

// snapshotted returns all records of a snapshot: of flows that have ended, of refused ones,
// and of open ones as Updated.
func snapshotted(flows *tstun.FlowSnapshot) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for f := range flows.All {
			r := Record{Kind: Ended, Time: f.Last, Flow: f}
			if f.End == tstun.FlowOpen {
				r.Kind, r.Time = Updated, flows.Time
			}
			if !yield(r) {
				return
			}
		}
		for f := range flows.Refused {
			if !yield(Record{Kind: Refused, Time: f.Last, Refused: f}) {
				return
			}
		}
	}
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
