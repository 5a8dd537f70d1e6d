package packets

import (
	"os"
	"sync"
	"sync/atomic"
)

// memory is a device that always has packets to read and takes every packet
// written. It is a tun.Device of either wireguard-go, which differ in their
// Event type alone.
type memory[Event any] struct {
	batch   int
	packets [][]byte // handed out in turn; each Read copies
	next    int      // owned by the one Read that is going on
	written int      // packets; owned by the one Write that is going on

	events    chan Event
	closed    atomic.Bool
	closeOnce sync.Once
}

func newMemory[Event any](batch int, packets [][]byte) *memory[Event] {
	return &memory[Event]{batch: batch, packets: packets, events: make(chan Event)}
}

func (m *memory[Event]) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if m.closed.Load() {
		return 0, os.ErrClosed
	}
	n := min(len(bufs), m.batch)
	for i := range n {
		sizes[i] = copy(bufs[i][offset:], m.packets[m.next])
		if m.next++; m.next == len(m.packets) {
			m.next = 0
		}
	}
	return n, nil
}

func (m *memory[Event]) Write(bufs [][]byte, _ int) (int, error) {
	if m.closed.Load() {
		return 0, os.ErrClosed
	}
	m.written += len(bufs)
	return len(bufs), nil
}

// taken returns how many packets were written. Not to be called during a
// Write.
func (m *memory[Event]) taken() int { return m.written }

func (m *memory[Event]) File() *os.File        { return nil }
func (m *memory[Event]) MTU() (int, error)     { return 1420, nil }
func (m *memory[Event]) Name() (string, error) { return "memory0", nil }
func (m *memory[Event]) Events() <-chan Event  { return m.events }
func (m *memory[Event]) BatchSize() int        { return m.batch }

func (m *memory[Event]) Close() error {
	m.closeOnce.Do(func() {
		m.closed.Store(true)
		close(m.events)
	})
	return nil
}

// direct is a memory that also is a tundev.Direct. read counts the calls that
// took it for a mere tun.Device.
type direct[Event any] struct {
	*memory[Event]
	read atomic.Int64
}

func (d *direct[Event]) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	d.read.Add(1)
	return d.memory.Read(bufs, sizes, offset)
}

func (d *direct[Event]) ReadReady(bufs [][]byte, sizes []int, offset int, _ bool) (int, error) {
	return d.memory.Read(bufs, sizes, offset)
}

func (d *direct[Event]) Interrupt() {}

func (d *direct[Event]) Abandon() int { return 0 }
