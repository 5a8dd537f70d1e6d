package accounting

import (
	"sync"

	"tstun/flow"
)

// Local is what the calls of one batch have carried and dropped since the
// Wrapper was made. A call enters its sums once, and others read them seldom, so
// that nobody waits for the lock.
type Local struct {
	mu      sync.Mutex // guards all below
	passed  Traffic
	dropped Drops
	// cached is what the flow of the verdict cache has carried and Flows does
	// not know of yet: a flow whose packets come one by one is looked up there
	// when the cache goes over to another flow, or when somebody asks.
	cached Run
}

// Enter adds what a call has counted and clears c.Drops.
func (l *Local) Enter(c *Call) {
	cached := c.Cached()
	l.mu.Lock()
	l.passed.AddAll(c.Passed)
	l.cached.AddAll(cached)
	if c.Drops.which != 0 {
		l.dropped.AddAll(&c.Drops)
		c.Drops.reset()
	}
	l.mu.Unlock()
}

// Follow makes id the flow of the verdict cache and returns what the one before
// has carried.
func (l *Local) Follow(id *flow.ID) Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cached.ID.Equal(id) {
		return Run{}
	}
	r := l.cached
	l.cached = Run{ID: *id}
	return r
}

// Take returns what the flow of the verdict cache has carried, for Flows.
func (l *Local) Take() Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.cached
	l.cached.Traffic = Traffic{}
	return r
}

// Sum adds up all locals at one moment.
func Sum(locals []*Local) (passed Traffic, dropped Drops) {
	for _, l := range locals {
		l.mu.Lock()
	}
	for _, l := range locals {
		passed.AddAll(l.passed)
		dropped.AddAll(&l.dropped)
	}
	for _, l := range locals {
		l.mu.Unlock()
	}
	return passed, dropped
}
