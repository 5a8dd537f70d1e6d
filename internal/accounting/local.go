package accounting

import (
	"sync"

	"tstun/flow"
)

// Local is what the calls of one batch have carried and dropped since the
// Wrapper was made. A call enters its sums once, and others read them seldom, so
// that nobody waits for the lock.
type Local struct {
	mu     sync.Mutex // guards all below
	passed Traffic
	// atLookup is what of passed the filter has counted where it looked up the flows,
	// before the call was entered.
	atLookup Traffic
	dropped  Drops
	// cached is what the flow of the verdict cache has carried and Flows does
	// not know of yet: a flow whose packets come one by one is looked up there
	// when the cache goes over to another flow, or when somebody asks.
	cached Run
	into   entry // where cached belongs, as of its last packet
}

// Enter adds what a call at now has counted, also to the flows of t, and clears c.Drops.
// With nil t, flows are not counted.
func (l *Local) Enter(c *Call, t *Target, way Direction, now int64) {
	cached := c.Cached()
	l.mu.Lock()
	l.passed.AddAll(c.Passed)
	l.atLookup.AddAll(c.atLookup)
	if cached.Packets != 0 {
		l.cached.AddAll(cached)
		l.into = entry{t, nil, way, now}
	}
	if c.Drops.which != 0 {
		l.dropped.AddAll(&c.Drops)
		c.Drops.reset()
	}
	if t != nil {
		c.enterFlows(&entry{t, c, way, now})
	}
	l.mu.Unlock()
}

// Follow makes id the flow of the verdict cache, and enters what the one before has
// carried.
func (l *Local) Follow(id *flow.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cached.ID.Equal(id) {
		l.enterCached()
		l.cached.ID = *id
	}
}

// enterCached enters what the flow of the verdict cache has carried. l is locked.
func (l *Local) enterCached() {
	if l.cached.Packets != 0 {
		l.into.add(&l.cached)
		l.cached.Traffic, l.into = Traffic{}, entry{}
	}
}

// Stop calls f while nothing is entered into any of the locals, and all that was
// counted is.
func Stop(locals []*Local, f func()) {
	for _, l := range locals {
		l.mu.Lock()
		l.enterCached()
	}
	f()
	for _, l := range locals {
		l.mu.Unlock()
	}
}

// AtLookup returns what the filter has counted of what Sum returns as passed.
func AtLookup(locals []*Local) (t Traffic) {
	for _, l := range locals {
		t.AddAll(l.atLookup)
	}
	return t
}

// Sum adds up all locals, which are stopped.
func Sum(locals []*Local) (passed Traffic, dropped Drops) {
	for _, l := range locals {
		passed.AddAll(l.passed)
		dropped.AddAll(&l.dropped)
	}
	return passed, dropped
}
