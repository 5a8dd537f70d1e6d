package tstun

import (
	"sync"

	"tstun/flow"
)

// ledger is the account of what one batch has carried since the Wrapper was
// made. The batch writes it once in each call, and others read it seldom, so
// its lock is all but free.
type ledger struct {
	mu     sync.Mutex // guards all below
	passed amount
	// recent is of the flow that the batch has a lease on, and not in the
	// statistics yet: a flow whose packets come one by one is looked up there
	// when the lease goes to another flow, or when somebody asks.
	recent run
}

// enter adds what a call has carried, and of that, what the leased flow has.
func (l *ledger) enter(passed, leased amount) {
	l.mu.Lock()
	l.passed.addAll(passed)
	l.recent.addAll(leased)
	l.mu.Unlock()
}

// follow makes id the leased flow and returns what the one before has carried.
func (l *ledger) follow(id *flow.ID) run {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recent.id.Equal(id) {
		return run{}
	}
	r := l.recent
	l.recent = run{id: *id}
	return r
}

// take returns what the leased flow has carried, for the statistics.
func (l *ledger) take() run {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.recent
	l.recent.amount = amount{}
	return r
}

func (l *ledger) total() amount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed
}
