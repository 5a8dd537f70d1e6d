package accounting

import "tstun/flow"

// Run is what consecutive packets of one flow add up to.
type Run struct {
	ID flow.ID
	Traffic
}

// NoRun stands for a run where flows are not counted.
const NoRun = -1

// Call is what one call of Read or Write adds up. One goroutine at a time uses
// it, from Begin on.
type Call struct {
	Passed  Traffic
	Drops   Drops
	runs    []Run
	cached  int // index in runs of the flow of the verdict cache, or NoRun
	byFlows bool
	refused []refusedRun
	sources []refusedSource // of these
	// counted are the packets that the filter has counted in their flows, and atLookup
	// is their sum, which is in Passed.
	counted  []flow.Counted
	atLookup Traffic
	// Begun are the refused flows of which the call had the first packets, once it is
	// entered, if Target.Tell asks for them.
	Begun []Refused
}

// Begin forgets the call before. byFlows says whether flows are counted.
func (c *Call) Begin(byFlows bool) {
	c.Passed, c.runs, c.cached, c.byFlows = Traffic{}, c.runs[:0], NoRun, byFlows
	c.refused, c.Begun = c.refused[:0], c.Begun[:0]
	c.counted, c.atLookup = c.counted[:0], Traffic{}
}

// Count counts a packet of size bytes that passed, and returns the index of its
// run, or NoRun.
func (c *Call) Count(id *flow.ID, size int) int {
	c.Passed.Add(size)
	if !c.byFlows {
		return NoRun
	}
	last := len(c.runs) - 1
	if last < 0 || !c.runs[last].ID.Equal(id) {
		last = c.newRun(id)
	}
	c.runs[last].Add(size)
	return last
}

// CountCounted counts a packet of size bytes that passed, and that the filter has counted
// in its flow, and returns a number of it, which is in no run.
func (c *Call) CountCounted(packet *flow.Counted, size int) int {
	c.Passed.Add(size)
	c.atLookup.Add(size)
	c.counted = append(c.counted, *packet)
	return NoRun - len(c.counted)
}

// CountCached counts a packet of the verdict cache's flow, whose packets need
// not follow each other, and returns the index of its run, or NoRun.
func (c *Call) CountCached(id *flow.ID, size int) int {
	c.Passed.Add(size)
	if !c.byFlows {
		return NoRun
	}
	if c.cached < 0 {
		c.cached = c.newRun(id)
	}
	c.runs[c.cached].Add(size)
	return c.cached
}

func (c *Call) newRun(id *flow.ID) int {
	c.runs = append(c.runs, Run{ID: *id})
	return len(c.runs) - 1
}

// Cache makes the run the one of the verdict cache's flow.
func (c *Call) Cache(run int) { c.cached = max(run, NoRun) }

// Uncount uncounts a packet of size bytes, which was counted in run, or in none, and
// reports whether it did: one that Take has returned stays counted.
func (c *Call) Uncount(run, size int, t *Target, way Direction) bool {
	if run < NoRun {
		if !t.uncount(&c.counted[NoRun-run-1], size, way) {
			return false
		}
		c.atLookup.Sub(size)
	}
	c.Passed.Sub(size)
	if run >= 0 {
		c.runs[run].Sub(size)
	}
	return true
}

// Cached returns what the call has carried of the verdict cache's flow.
func (c *Call) Cached() Traffic {
	if c.cached < 0 {
		return Traffic{}
	}
	return c.runs[c.cached].Traffic
}

// enterFlows enters what the call has carried and refused, but for what it carried of
// the verdict cache's flow, which Local has.
func (c *Call) enterFlows(t *entry) {
	for i := range c.runs {
		if i != c.cached {
			t.add(&c.runs[i])
		}
	}
	if len(c.refused) > 0 {
		t.refuse(c.refused)
	}
}
