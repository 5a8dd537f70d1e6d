package tstun

import (
	"math/bits"
	"sync"

	"tstun/filter"
	"tstun/flow"
)

// drops counts dropped packets by reason.
type drops struct {
	n     [filter.NumReasons]uint64
	which uint64 // bit r is set where n[r] is not 0
}

const _ = uint(64 - filter.NumReasons) // each reason has its bit

func (d *drops) add(r filter.Reason, n int) {
	if n > 0 {
		d.n[r] += uint64(n)
		d.which |= 1 << r
	}
}

// addAll adds the drops of other.
func (d *drops) addAll(other *drops) {
	for which := other.which; which != 0; which &= which - 1 {
		r := filter.Reason(bits.TrailingZeros64(which))
		d.add(r, int(other.n[r]))
	}
}

// reset clears d.
func (d *drops) reset() {
	for ; d.which != 0; d.which &= d.which - 1 {
		d.n[bits.TrailingZeros64(d.which)] = 0
	}
}

// ledger is the account of what one batch has carried and dropped since the Wrapper was
// made. The batch writes it once in each call, and others read it seldom, so
// its lock is all but free.
type ledger struct {
	mu      sync.Mutex // guards all below
	passed  amount
	dropped drops
	// recent is of the flow that the batch has a lease on, and not in the
	// statistics yet: a flow whose packets come one by one is looked up there
	// when the lease goes to another flow, or when somebody asks.
	recent run
}

// enter adds what a call has carried, of that, what the leased flow has, and
// what the call has dropped, which it clears.
func (l *ledger) enter(passed, leased amount, dropped *drops) {
	l.mu.Lock()
	l.passed.addAll(passed)
	l.recent.addAll(leased)
	if dropped.which != 0 {
		l.dropped.addAll(dropped)
		dropped.reset()
	}
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

// addTo adds the account to passed and dropped. l is locked.
func (l *ledger) addTo(passed *amount, dropped *drops) {
	passed.addAll(l.passed)
	dropped.addAll(&l.dropped)
}
