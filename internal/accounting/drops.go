package accounting

import (
	"math/bits"
	"sync/atomic"

	"tstun/filter"
)

// Drops counts dropped packets by reason.
type Drops struct {
	n     [filter.NumReasons]uint64
	which uint64 // bit r is set where n[r] is not 0
}

const _ = uint(64 - filter.NumReasons) // each reason has its bit

// Add counts n packets dropped for r.
func (d *Drops) Add(r filter.Reason, n int) {
	if n > 0 {
		d.n[r] += uint64(n)
		d.which |= 1 << r
	}
}

// AddAll adds the drops of other.
func (d *Drops) AddAll(other *Drops) {
	for which := other.which; which != 0; which &= which - 1 {
		r := filter.Reason(bits.TrailingZeros64(which))
		d.Add(r, int(other.n[r]))
	}
}

// ByReason returns the reasons that occurred, in a map of the caller's.
func (d *Drops) ByReason() map[filter.Reason]uint64 {
	m := make(map[filter.Reason]uint64)
	for which := d.which; which != 0; which &= which - 1 {
		r := filter.Reason(bits.TrailingZeros64(which))
		m[r] = d.n[r]
	}
	return m
}

// reset clears d.
func (d *Drops) reset() {
	for ; d.which != 0; d.which &= d.which - 1 {
		d.n[bits.TrailingZeros64(d.which)] = 0
	}
}

// DropCounters is Drops for any goroutine: of packets that are dropped outside
// of a Call.
type DropCounters struct {
	n [filter.NumReasons]atomic.Uint64
}

// Add counts n packets dropped for r.
func (c *DropCounters) Add(r filter.Reason, n int) { c.n[r].Add(uint64(n)) }

// AddTo adds what was counted to d.
func (c *DropCounters) AddTo(d *Drops) {
	for r := range c.n {
		d.Add(filter.Reason(r), int(c.n[r].Load()))
	}
}
