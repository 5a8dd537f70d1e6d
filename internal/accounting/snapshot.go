package accounting

import (
	"tstun/filter"
	"tstun/flow"
)

// Snapshot is all flows and refused flows at one moment.
type Snapshot struct {
	state   *filter.Snapshot // nil: there is no state
	loose   *flow.Snapshot[struct{}]
	refused *flow.Snapshot[sourceRefusals]

	// AtLookup is what filters had counted where they looked up the flows: calls that
	// go on at the moment have not entered it yet. Collect completes it.
	AtLookup flow.Counts

	looseParts   [][]flow.Record[struct{}]
	refusedParts [][]flow.Record[sourceRefusals]
}

// Begin fixes the moment, at which all locals must be stopped. s is the state of the
// filter in force, with accounts of f, or nil. Each Begin needs its Collect before the
// next one.
func (f *Flows) Begin(s *filter.State) *Snapshot {
	snap := &Snapshot{loose: f.loose.Begin(), refused: f.refused.Begin(), AtLookup: f.atLookup}
	if s != nil {
		snap.state = s.BeginSnapshot()
	}
	return snap
}

// Collect completes the snapshot, while the locals go on.
func (s *Snapshot) Collect() {
	if s.state != nil {
		s.state.Collect()
		s.AtLookup = s.AtLookup.Add(s.state.Counted)
	}
	s.looseParts, _ = s.loose.Collect()
	s.refusedParts, _ = s.refused.Collect()
}

// Len returns the number of flows.
func (s *Snapshot) Len() (n int) {
	if s.state != nil {
		n = s.state.Len()
	}
	for _, part := range s.looseParts {
		n += len(part)
	}
	return n
}

// Sum returns what the flows have carried.
func (s *Snapshot) Sum() flow.Counts {
	c := flow.Sum(s.looseParts)
	if s.state != nil {
		c = c.Add(s.state.Sum())
	}
	return c
}

// Flows calls yield with each flow, until it returns false.
func (s *Snapshot) Flows(yield func(*filter.Flow) bool) {
	if s.state != nil {
		var at filter.Flow // one for all: yield lets it escape
		for at = range s.state.All {
			if !yield(&at) {
				return
			}
		}
	}
	for _, part := range s.looseParts {
		for i := range part {
			if f := looseFlow(&part[i]); !yield(&f) {
				return
			}
		}
	}
}

// Refused calls yield with each refused flow, until it returns false.
func (s *Snapshot) Refused(yield func(*Refused) bool) {
	for _, part := range s.refusedParts {
		for i := range part {
			on := true
			part[i].Value.each(func(at *refusal) {
				if on {
					r := refusedOf(part[i].Key, &part[i].Value, at)
					on = yield(&r)
				}
			})
			if !on {
				return
			}
		}
	}
}
