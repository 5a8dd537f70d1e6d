// Package testdev has a tun.Device whose host is the test: it says what each
// Read returns and sees what is written.
package testdev

import (
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
)

// Step is the result of one Read.
type Step struct {
	Packets [][]byte
	N       int   // what Read returns where it is not len(Packets)
	Sizes   []int // what Read sets where it is not the packets' lengths
	Err     error
}

// Device is a tun.Device. The zero value is not valid; New makes one. All
// methods may be called from any goroutine.
type Device struct {
	batch  int
	steps  chan Step
	events chan tun.Event
	wrote  chan struct{} // holds one note that something was written
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex // guards all below
	onWrite func(bufs [][]byte, offset int) (int, error)
	written [][]byte
	reads   int
}

// New returns a Device whose BatchSize is batch.
func New(batch int) *Device {
	return &Device{
		batch:  batch,
		steps:  make(chan Step, 4096),
		events: make(chan tun.Event, 16),
		wrote:  make(chan struct{}, 1),
		closed: make(chan struct{}),
	}
}

// Send makes one Read return the packets.
func (d *Device) Send(packets ...[]byte) { d.Script(Step{Packets: packets}) }

// Script makes Reads, one after the other, return the steps.
func (d *Device) Script(steps ...Step) {
	for _, s := range steps {
		d.steps <- s
	}
}

// Event sends an event.
func (d *Device) Event(e tun.Event) { d.events <- e }

// OnWrite makes f take over Write. With nil, Write copies what it gets.
func (d *Device) OnWrite(f func(bufs [][]byte, offset int) (int, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onWrite = f
}

// Written returns the packets written since the last call.
func (d *Device) Written() [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.written
	d.written = nil
	return w
}

// Next waits for a written packet. After Close it returns nil when there is
// none.
func (d *Device) Next() []byte {
	for {
		d.mu.Lock()
		if len(d.written) > 0 {
			p := d.written[0]
			d.written = d.written[1:]
			d.mu.Unlock()
			return p
		}
		d.mu.Unlock()
		select {
		case <-d.wrote:
		case <-d.closed:
			return nil
		}
	}
}

// Reads returns how many Reads have begun.
func (d *Device) Reads() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reads
}

func (d *Device) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	d.mu.Lock()
	d.reads++
	d.mu.Unlock()
	select {
	case <-d.closed:
		return 0, os.ErrClosed
	default:
	}
	select {
	case <-d.closed:
		return 0, os.ErrClosed
	case s := <-d.steps:
		for i, p := range s.Packets {
			sizes[i] = copy(bufs[i][offset:], p)
		}
		copy(sizes, s.Sizes)
		if s.N != 0 {
			return s.N, s.Err
		}
		return len(s.Packets), s.Err
	}
}

func (d *Device) Write(bufs [][]byte, offset int) (int, error) {
	select {
	case <-d.closed:
		return 0, os.ErrClosed
	default:
	}
	d.mu.Lock()
	f := d.onWrite
	d.mu.Unlock()
	if f != nil {
		return f(bufs, offset)
	}
	d.mu.Lock()
	for _, b := range bufs {
		d.written = append(d.written, append([]byte(nil), b[offset:]...))
	}
	d.mu.Unlock()
	select {
	case d.wrote <- struct{}{}:
	default:
	}
	return len(bufs), nil
}

func (d *Device) File() *os.File           { return nil }
func (d *Device) MTU() (int, error)        { return 1280, nil }
func (d *Device) Name() (string, error)    { return "test0", nil }
func (d *Device) Events() <-chan tun.Event { return d.events }
func (d *Device) BatchSize() int           { return d.batch }

// Close ends Reads and Writes. The events channel is closed.
func (d *Device) Close() error {
	d.once.Do(func() {
		close(d.closed)
		close(d.events)
	})
	return nil
}
