package tstun

import (
	"time"

	"tstun/filter"
	"tstun/internal/accounting"
	"tstun/internal/clock"
)

// FlowEvents is told of flows as they begin, end and are refused, while
// SetFlowRecordsEnabled is on. Its functions, none of which may be nil, run on the
// goroutines that call Read and Write, several at once, and under locks of the flow
// tables: they must be short, must not call the Wrapper, and must not panic. Package
// flowlog has what takes its time.
type FlowEvents struct {
	// Began is told of a flow at its first packet, before that is counted.
	Began func(FlowRecord)
	// Ended is told of a flow that is forgotten, once: when it has ended and its timeout
	// has passed, or its place was needed. That is noticed when a packet needs it, or by
	// ExpireFlows.
	Ended func(FlowRecord, time.Time)
	// Refused is told of a refused flow at its first packet, and with More at the first
	// of those that are summed up.
	Refused func(RefusedRecord)
	// RefusedEnded is told of a refused flow that is forgotten: no packet of it came for a
	// minute, and another one needed its place, or ExpireFlows came by. Flows has those
	// that are not.
	RefusedEnded func(RefusedRecord, time.Time)
}

// SetFlowEvents makes e the one who is told of flows from now on. Calls that go on may
// tell the one before to their end. nil: nobody is told.
func (w *Wrapper) SetFlowEvents(e *FlowEvents) {
	if e == nil {
		w.flows.SetObserver(nil)
		return
	}
	w.flows.SetObserver(&accounting.Observer{
		Began: func(f *filter.Flow) { e.Began(flowRecord(f)) },
		Ended: func(f *filter.Flow, now int64) {
			r := flowRecord(f)
			if r.End = flowEnd(f); r.End == FlowIdle && f.Expires > now {
				r.End = FlowEvicted
			}
			e.Ended(r, clock.Time(now))
		},
		Refused:      func(r *accounting.Refused) { e.Refused(refusedRecord(r)) },
		RefusedEnded: func(r *accounting.Refused, now int64) { e.RefusedEnded(refusedRecord(r), clock.Time(now)) },
	})
}

// ExpireFlows forgets flows that have ended, so that FlowEvents is told of them, and gives
// back the memory that was for many where few are left. It takes about 1 ms for 100,000
// flows, and holds no lock for longer than a shard of the table takes: some microseconds, or
// some ten where it gives memory back.
// Without it both happens bit by bit, as others need their places.
func (w *Wrapper) ExpireFlows() { w.flows.Expire(w.config.Load().state, clock.Now()) }
