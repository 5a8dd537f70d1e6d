package tstun

import (
	"net/netip"

	"tstun/filter"
	"tstun/internal/accounting"
	"tstun/internal/clock"
	"tstun/internal/pipeline"
	"tstun/key"
)

// config is what can be set while packets flow. A batch reads it once; a
// change makes a new one, so that a config never changes once it is in
// w.config. Hooks are nil until the first packet.
type config struct {
	pipeline.Config
	flows *accounting.Flows // nil: flows are not counted
}

// update makes a changed copy of the config the one in force.
func (w *Wrapper) update(change func(*config)) {
	w.configMu.Lock()
	defer w.configMu.Unlock()
	c := *w.config.Load()
	change(&c)
	c.Serial++
	w.config.Store(&c)
}

// SetFilter makes filt the main filter from the next batch on. With nil,
// every packet that reaches it is dropped.
func (w *Wrapper) SetFilter(filt *filter.Filter) {
	w.mistakes.filterSet.Store(true)
	if filt != nil {
		filt.Begin(clock.Now())
	}
	w.update(func(c *config) { c.Filter = filt })
}

// GetFilter returns the main filter, or nil if none is set.
func (w *Wrapper) GetFilter() *filter.Filter { return w.config.Load().Filter }

// SetDiscoKey sets this node's discovery key. A disco packet that carries it
// has come back to its sender and is dropped, whichever way it goes. The zero
// key switches the check off.
func (w *Wrapper) SetDiscoKey(k key.DiscoPublic) {
	w.update(func(c *config) {
		c.Disco = &k
		if k.IsZero() {
			c.Disco = nil
		}
	})
}

// SetDestIPActivityFuncs sets functions that are called, each on the
// goroutine that calls Read, for every outbound packet to the address that is
// their key. They must not block. The Wrapper owns m from then on. m must not
// be nil; an empty map switches the calls off.
func (w *Wrapper) SetDestIPActivityFuncs(m map[netip.Addr]func()) {
	w.update(func(c *config) { c.Activity = m })
}

// SetStatisticsEnabled switches the counting per connection on or off. It is
// off in a new Wrapper, and then costs nothing. Switching it off keeps what
// was counted until ExtractStatistics takes it.
func (w *Wrapper) SetStatisticsEnabled(enable bool) {
	w.update(func(c *config) {
		c.flows = nil
		if enable {
			c.flows = w.flows
		}
	})
}
