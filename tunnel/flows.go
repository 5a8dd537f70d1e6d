package tunnel

import (
	"container/heap"
	"errors"
	"iter"
	"slices"
	"time"

	"tstun"
	"tstun/flowlog"
)

// ErrNoRecords is that a tunnel keeps no records of flows: its Config says so.
var ErrNoRecords = errors.New("tunnel: no records of flows are kept")

// FlowQuery says which flows are wanted. The zero value wants those that are open, and
// those that were refused within about the last minute.
//
// For each flow that no rule allowed, the nearest rule is looked for. That takes a look at
// every rule of the policy; when it has taken a million looks, the flows that follow get
// none.
type FlowQuery struct {
	// Match, if it is set, says of a record whether it is wanted. It must not keep it.
	Match func(*flowlog.Record) bool
	// Since, if it is set, adds the flows that ended or were refused, as far as they are
	// remembered, of which the last packet was counted then or later.
	Since time.Time
	// Limit, if it is not 0, is how many are wanted at most of the flows that passed, and
	// of the refused ones: those with the most bytes, and those that were refused last, in
	// that order. Otherwise all are, in arbitrary order.
	Limit int
}

// FlowTotal is what an answer is about: all flows that match, whatever its Limit is.
type FlowTotal struct {
	Passed  int         `json:"passed"` // flows that are open, or ended
	In      FlowTraffic `json:"in"`     // what they carried from peers
	Out     FlowTraffic `json:"out"`    // and to peers
	Refused int         `json:"refused"`
	Dropped FlowTraffic `json:"dropped"` // of the refused flows
	Shown   int         `json:"shown"`   // how many flows the answer has
}

// FlowList is the answer to a FlowQuery. One goroutine at a time may use it.
type FlowList struct {
	// Total is complete when All has returned.
	Total FlowTotal

	tunnel *Tunnel
	query  FlowQuery
}

// Flows returns the flows that q wants, of the moment at which All is called. Without
// records the error is ErrNoRecords.
func (t *Tunnel) Flows(q FlowQuery) (*FlowList, error) {
	if t.records == nil {
		return nil, ErrNoRecords
	}
	return &FlowList{tunnel: t, query: q}, nil
}

// All calls yield with each flow, which is valid until it returns, until it returns false.
// It holds a snapshot of 128 bytes for each flow meanwhile, and holds nobody up.
func (l *FlowList) All(yield func(*Flow) bool) {
	l.Total = FlowTotal{}
	names := l.tunnel.flowNames()
	var f Flow // one for all, as r below: they escape
	show := func(r *flowlog.Record) bool {
		names.flow(&f, r)
		l.Total.Shown++
		return yield(&f)
	}
	var passed, refused best
	passed.less = func(a, b *flowlog.Record) bool { return bytesOf(a) < bytesOf(b) }
	refused.less = func(a, b *flowlog.Record) bool { return a.Refused.Last.Before(b.Refused.Last) }
	var r flowlog.Record
	for r = range l.recorded() {
		if l.query.Match != nil && !l.query.Match(&r) {
			continue
		}
		l.Total.add(&r)
		switch {
		case l.query.Limit == 0:
			if !show(&r) {
				return
			}
		case r.Kind.IsRefused():
			refused.keep(&r, l.query.Limit)
		default:
			passed.keep(&r, l.query.Limit)
		}
	}
	for _, r = range append(passed.sorted(), refused.sorted()...) {
		if !show(&r) {
			return
		}
	}
}

// recorded returns the records that the query is about.
func (l *FlowList) recorded() iter.Seq[flowlog.Record] {
	if !l.query.Since.IsZero() {
		return l.tunnel.records.Flows(l.query.Since)
	}
	return func(yield func(flowlog.Record) bool) {
		flows := l.tunnel.wrapper.Flows()
		for f := range flows.All {
			if f.End == tstun.FlowOpen && !yield(flowlog.Record{Kind: flowlog.Updated, Time: flows.Time, Flow: f}) {
				return
			}
		}
		for f := range flows.Refused {
			if !yield(flowlog.Record{Kind: flowlog.Refused, Time: f.Last, Refused: f}) {
				return
			}
		}
	}
}

func (t *FlowTotal) add(r *flowlog.Record) {
	if r.Kind.IsRefused() {
		t.Refused++
		t.Dropped.Packets += r.Refused.Packets
		t.Dropped.Bytes += r.Refused.Bytes
		return
	}
	t.Passed++
	t.In.Packets += r.Flow.RxPackets
	t.In.Bytes += r.Flow.RxBytes
	t.Out.Packets += r.Flow.TxPackets
	t.Out.Bytes += r.Flow.TxBytes
}

func bytesOf(r *flowlog.Record) uint64 { return r.Flow.RxBytes + r.Flow.TxBytes }

// best holds the greatest of the records that it was given, as a heap with the least first.
type best struct {
	records []flowlog.Record
	less    func(a, b *flowlog.Record) bool
}

func (b *best) Len() int           { return len(b.records) }
func (b *best) Less(i, j int) bool { return b.less(&b.records[i], &b.records[j]) }
func (b *best) Swap(i, j int)      { b.records[i], b.records[j] = b.records[j], b.records[i] }
func (b *best) Push(r any)         { b.records = append(b.records, *r.(*flowlog.Record)) }
func (b *best) Pop() any {
	last := b.records[len(b.records)-1]
	b.records = b.records[:len(b.records)-1]
	return last
}

// keep holds r, if it is among the n greatest by now.
func (b *best) keep(r *flowlog.Record, n int) {
	if len(b.records) < n {
		heap.Push(b, r)
	} else if b.less(&b.records[0], r) {
		b.records[0] = *r
		heap.Fix(b, 0)
	}
}

// sorted returns what is held, the greatest first.
func (b *best) sorted() []flowlog.Record {
	slices.SortFunc(b.records, func(x, y flowlog.Record) int {
		switch {
		case b.less(&y, &x):
			return -1
		case b.less(&x, &y):
			return 1
		}
		return 0
	})
	return b.records
}
