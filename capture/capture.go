package capture

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"tstun"
)

// Capture writes packets to an io.Writer as they come. Its methods may be called from
// any goroutine. It comes from New; the zero value is not valid.
type Capture struct {
	recorder
	options Options

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
	c := &Capture{
		recorder: recorder{keep: max(o.SnapLen, headersLen), wire: o.Wire, peer: o.Peer != nil, ring: newRing(o.Ring)},
		options:  o, done: make(chan struct{}),
	}
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
	if !c.add(o) && (!c.ring.isClosed() || c.failed.Load()) {
		c.ring.lost.Add(1)
	}
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
