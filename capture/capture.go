package capture

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"tstun"
	"tstun/filter"
)

// Capture writes packets to an io.Writer as they come. Its methods may be called from
// any goroutine. It comes from New; the zero value is not valid.
type Capture struct {
	options Options
	keep    int // bytes of a packet that go into the ring at most
	ring    *ring
	filters filters

	written   atomic.Uint64 // records that the io.Writer took
	spoilt    atomic.Uint64 // records that it did not take
	failed    atomic.Bool   // nothing is written any more
	abandoned atomic.Bool   // Close did not wait

	done chan struct{} // closed by the writer at its end
	err  error         // of the writer, once done is closed
}

// Stats are a capture's counts of packets. Seen = Written + Lost + Waiting, in each
// snapshot. Once Done is closed, nothing waits.
type Stats struct {
	Seen    uint64 // those that Options.Match let through
	Written uint64 // the io.Writer has taken them wholly
	Lost    uint64 // the ring had no room, or the io.Writer failed
	Waiting uint64 // for the io.Writer
}

// New starts a capture that writes to w, and only from one goroutine at a time. That
// ends with Close, or when w returns an error. Close does not close w.
func New(w io.Writer, o Options) (*Capture, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Capture{options: o, keep: max(o.SnapLen, headersLen), ring: newRing(o.Ring), done: make(chan struct{})}
	wr, err := newWriter(c, w)
	if err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	go wr.run()
	return c, nil
}

// Sink is for Wrapper.SetCapture. It neither blocks nor allocates. After Close it does
// nothing, and after an error of the io.Writer it counts the packet as lost.
func (c *Capture) Sink(o *tstun.Observation) {
	if c.options.Match != nil && !c.options.Match(o) {
		return
	}
	r := record{
		now: o.Now, verdict: o.Verdict, inbound: o.Inbound, injected: o.Injected,
		length: uint32(len(o.Packet)), kept: uint32(min(len(o.Packet), c.keep)),
		wire: c.options.Wire && isTranslated(o),
	}
	if o.Filter != nil {
		r.policy = o.Filter.Serial()
		c.filters.note(o.Filter)
	}
	if c.options.Peer != nil {
		r.peer = o.Peer()
	}
	cells := cellsFor(r.size())
	at, ok := c.ring.reserve(cells)
	if !ok {
		c.refuse()
		return
	}
	r.lost = c.ring.lost.Load()
	c.fill(at, &r, o)
	c.ring.commit(at, cells)
}

// refuse counts a record that the ring did not take.
func (c *Capture) refuse() {
	if !c.ring.isClosed() || c.failed.Load() {
		c.ring.lost.Add(1)
	}
}

// fill writes a record and its packet to the ring.
func (c *Capture) fill(at uint32, r *record, o *tstun.Observation) {
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

// Stats returns how many packets c has seen, and what became of them.
func (c *Capture) Stats() Stats {
	s := Stats{Written: c.written.Load()}
	spoilt := c.spoilt.Load()
	s.Waiting = c.ring.waiting(s.Written + spoilt)
	s.Lost = spoilt + c.ring.lost.Load()
	s.Seen = s.Written + s.Lost + s.Waiting
	return s
}

// Done is closed when c writes no more: after Close, or after an error of the
// io.Writer, as when a live reader has gone. All packets that come after an error are lost.
func (c *Capture) Done() <-chan struct{} { return c.done }

// Err returns why c writes no more: nil before Done is closed and after an orderly Close.
func (c *Capture) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Close ends the capture: what waits is written, then the interface statistics block.
// It returns Err.
//
// A Write of the io.Writer that does not return cannot be ended by Close. If ctx ends
// first, Close returns its error, nothing further is written, and what waits is lost
// when that Write returns, which the owner of the io.Writer can bring about by closing it.
// A later Close waits again.
func (c *Capture) Close(ctx context.Context) error {
	c.ring.close()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		c.abandoned.Store(true)
		return fmt.Errorf("capture: close while a write goes on: %w", ctx.Err())
	}
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
