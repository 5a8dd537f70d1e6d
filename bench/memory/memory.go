// Package memory has devices without a system behind them: what candidates are
// put on so that only they cost time.
package memory

import (
	"os"
	"sync"
	"sync/atomic"
)

// Device always has packets to read and takes every packet written. It is a
// tun.Device of either wireguard-go, which differ in their Event type alone.
// One Read and one Write may go on at a time, and Close at any time.
type Device[Event any] struct {
	batch   int
	packets [][]byte // handed out in turn; each Read copies
	next    int      // owned by the one Read that is going on
	written int      // packets; owned by the one Write that is going on

	events    chan Event
	closed    atomic.Bool
	closeOnce sync.Once
}

// New returns a device that moves up to batch packets per call. It reads
// packets and never changes them; there must be one.
func New[Event any](batch int, packets [][]byte) *Device[Event] {
	return &Device[Event]{batch: batch, packets: packets, events: make(chan Event)}
}

// Read copies the next packets.
func (d *Device[Event]) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if d.closed.Load() {
		return 0, os.ErrClosed
	}
	n := min(len(bufs), d.batch)
	for i := range n {
		sizes[i] = copy(bufs[i][offset:], d.packets[d.next])
		if d.next++; d.next == len(d.packets) {
			d.next = 0
		}
	}
	return n, nil
}

// Write counts the packets.
func (d *Device[Event]) Write(bufs [][]byte, _ int) (int, error) {
	if d.closed.Load() {
		return 0, os.ErrClosed
	}
	d.written += len(bufs)
	return len(bufs), nil
}

// Taken returns how many packets were written. Not to be called during a
// Write.
func (d *Device[Event]) Taken() int { return d.written }

// File returns nil.
func (d *Device[Event]) File() *os.File { return nil }

// MTU returns 1420.
func (d *Device[Event]) MTU() (int, error) { return 1420, nil }

// Name returns a name.
func (d *Device[Event]) Name() (string, error) { return "memory0", nil }

// Events returns a channel in which nothing comes until Close closes it.
func (d *Device[Event]) Events() <-chan Event { return d.events }

// BatchSize returns what New was given.
func (d *Device[Event]) BatchSize() int { return d.batch }

// Close makes Read and Write fail with os.ErrClosed.
func (d *Device[Event]) Close() error {
	d.closeOnce.Do(func() {
		d.closed.Store(true)
		close(d.events)
	})
	return nil
}

// Direct is a Device that also is a tundev.Direct.
type Direct[Event any] struct {
	*Device[Event]
	reads atomic.Int64 // calls of Read
}

// NewDirect returns a Direct; see New.
func NewDirect[Event any](batch int, packets [][]byte) *Direct[Event] {
	return &Direct[Event]{Device: New[Event](batch, packets)}
}

// Read is that of a mere tun.Device.
func (d *Direct[Event]) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	d.reads.Add(1)
	return d.Device.Read(bufs, sizes, offset)
}

// ReadReady copies the next packets. It never waits: there are always some.
func (d *Direct[Event]) ReadReady(bufs [][]byte, sizes []int, offset int, _ bool) (int, error) {
	return d.Device.Read(bufs, sizes, offset)
}

// Interrupt does nothing, as no ReadReady waits.
func (d *Direct[Event]) Interrupt() {}

// Abandon returns 0: nothing is kept.
func (d *Direct[Event]) Abandon() int { return 0 }

// TakenForMere reports whether Read was called, which a Wrapper that reads
// directly does not do.
func (d *Direct[Event]) TakenForMere() bool { return d.reads.Load() > 0 }
