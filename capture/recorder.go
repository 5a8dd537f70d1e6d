package capture

import (
	"sync"
	"sync/atomic"

	"tstun"
	"tstun/filter"
)

// recorder copies packets into a ring.
type recorder struct {
	keep    int  // bytes of a packet that go into the ring at most
	wire    bool // as Options.Wire
	peer    bool // whose a packet is goes into the ring too
	ring    *ring
	filters filters
}

// add copies a packet. It neither blocks nor allocates. It reports whether the ring took
// it.
func (c *recorder) add(o *tstun.Observation) bool {
	r := record{
		now: o.Now, verdict: o.Verdict, inbound: o.Inbound, injected: o.Injected,
		length: uint32(len(o.Packet)), kept: uint32(min(len(o.Packet), c.keep)),
		wire: c.wire && isTranslated(o),
	}
	if o.Filter != nil {
		r.policy = o.Filter.Serial()
		c.filters.note(o.Filter)
	}
	if c.peer {
		r.peer = o.Peer()
	}
	cells := cellsFor(r.size())
	at, ok := c.ring.reserve(cells)
	if !ok {
		return false
	}
	r.lost = c.ring.lost.Load()
	c.fill(at, &r, o)
	c.ring.commit(at, cells)
	return true
}

// fill writes a record and its packet to the ring.
func (c *recorder) fill(at uint32, r *record, o *tstun.Observation) {
	r.encode(c.ring.first(at, recordLen))
	skip := recordLen
	if r.wire {
		var nat [natLen]byte
		putAddrs(nat[:], o.Wire)
		c.ring.put(at, skip, nat[:])
		skip += natLen
	}
	c.ring.put(at, skip, o.Packet[:r.kept])
}

// filters are the last few filters that judged packets. What is older is forgotten, so
// that a capture does not keep their rules.
type filters struct {
	latest atomic.Pointer[filter.Filter]
	mu     sync.Mutex // guards recent
	recent [8]*filter.Filter
}

// note makes f known.
func (s *filters) note(f *filter.Filter) {
	if s.latest.Load() == f {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent[f.Serial()%uint32(len(s.recent))] = f
	s.latest.Store(f)
}

// find returns the filter with that serial, or nil if it is not known any more.
func (s *filters) find(serial uint32) *filter.Filter {
	if f := s.latest.Load(); f != nil && f.Serial() == serial {
		return f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.recent[serial%uint32(len(s.recent))]; f != nil && f.Serial() == serial {
		return f
	}
	return nil
}
