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
	into  *accounting.Target // nil: flows are not counted
	state *filter.State      // of Filter, with accounts of flows; nil: none

	statistics bool           // flows are counted for ExtractStatistics
	records    bool           // and for records, as refused ones are
	audit      *filter.Filter // asked about new flows; nil: none is

	sink func(*Observation) // nil: nothing is observed
}

// update makes a changed copy of the config the one in force.
func (w *Wrapper) update(change func(*config)) {
	w.configMu.Lock()
	defer w.configMu.Unlock()
	c := *w.config.Load()
	change(&c)
	c.Serial++
	c.Log = filter.LogDrops | filter.LogAccepts
	if c.records {
		c.Log = filter.LogAccepts // logRefused has the drops
	}
	before := w.countFlows(&c)
	w.config.Store(&c)
	if before != c.state {
		w.flows.Detach(before, clock.Now())
	}
}

// countFlows makes c count flows as it says, in the state of its filter, and returns the
// state that did before.
func (w *Wrapper) countFlows(c *config) (before *filter.State) {
	before = c.state
	c.into, c.state = nil, nil
	if !c.statistics && !c.records {
		return before
	}
	c.into = &accounting.Target{Flows: w.flows, Peers: c.Peers}
	if f := c.Filter; f != nil {
		c.into.Policy, c.into.Tell = f.Serial(), c.records && f.Logs()
		if w.flows.Attach(f.State()) {
			c.state = f.State()
			c.state.SetAudit(c.audit)
		}
	}
	c.into.State = c.state
	return before
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
		w.flows.SetTaking(enable, c.state)
		c.statistics = enable
	})
}
