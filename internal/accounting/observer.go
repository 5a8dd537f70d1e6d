package accounting

import (
	"tstun/filter"
	"tstun/flow"
)

// Observer is told of flows as they begin and end, and as they are refused. Its functions
// run under locks of tables: they must be short, must not use the Flows or the state, and
// must not keep what they get.
type Observer struct {
	Began func(f *filter.Flow)
	// Ended is told of a flow that ended at now.
	Ended func(f *filter.Flow, now int64)
	// Refused is told of a flow at its first packet that was refused, and at the first
	// of those that are summed up of its source.
	Refused func(*Refused)
	// RefusedEnded is told of a flow, or a sum, that is forgotten at now.
	RefusedEnded func(r *Refused, now int64)
}

// SetObserver makes o the one observer, or none if it is nil.
func (f *Flows) SetObserver(o *Observer) { f.observer.Store(o) }

// Expire forgets the flows that have expired by now, and those that were not refused for a
// minute, so that the observer is told. s is the state of the filter in force, with
// accounts of f, or nil.
func (f *Flows) Expire(s *filter.State, now int64) {
	if s != nil {
		s.Expire(now)
	}
	f.loose.Expire(now)
	f.refused.Expire(now)
}

func (f *Flows) began(x *filter.Flow) {
	if o := f.observer.Load(); o != nil {
		o.Began(x)
	}
}

// tellRefused tells of the refused flow at, in the entry of its source, that it is new.
func (f *Flows) tellRefused(source flow.Key, s *sourceRefusals, at *refusal) {
	if o := f.observer.Load(); o != nil {
		r := refusedOf(source, s, at)
		o.Refused(&r)
	}
}

// tellRefusedEnded tells of the refused flow at that it is forgotten.
func (f *Flows) tellRefusedEnded(source flow.Key, s *sourceRefusals, at *refusal, now int64) {
	if o := f.observer.Load(); o != nil {
		r := refusedOf(source, s, at)
		o.RefusedEnded(&r, now)
	}
}
