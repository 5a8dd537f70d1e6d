package tstun

import (
	"sync"
	"sync/atomic"
	"time"

	"tstun/filter"
)

// clockPeriod is how far a running clock may be behind: little beside the idle
// timeouts of flows, which are seconds and minutes.
const clockPeriod = 5 * time.Millisecond

// clock tells filter.Now() for a fraction of what it costs to ask the system,
// to which a packet that comes alone would pay as much as to the filter. It
// runs while it is asked, and stands still, without a timer, when it is not.
type clock struct {
	now   atomic.Int64 // 0: it stands
	asked atomic.Bool  // since the last tick

	mu     sync.Mutex // guards all below, and changes of now
	timer  *time.Timer
	closed bool
}

// read returns the time, never less than a read before it.
func (c *clock) read() int64 {
	now := c.now.Load()
	if now == 0 {
		return c.start()
	}
	if !c.asked.Load() {
		c.asked.Store(true)
	}
	return now
}

func (c *clock) start() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := filter.Now()
	if c.closed {
		return now
	}
	c.now.Store(now)
	c.asked.Store(true)
	if c.timer == nil {
		c.timer = time.AfterFunc(clockPeriod, c.tick)
	} else {
		c.timer.Reset(clockPeriod)
	}
	return now
}

// tick is called by the timer.
func (c *clock) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.asked.Swap(false) {
		c.now.Store(0)
		return
	}
	c.now.Store(filter.Now())
	c.timer.Reset(clockPeriod)
}

// close stops the clock for good. It can still be read.
func (c *clock) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.now.Store(0)
	if c.timer != nil {
		c.timer.Stop()
	}
}
