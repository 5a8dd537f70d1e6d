package tundev

import (
	"fmt"
	"os"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
)

// guardEvents is how many events wait for a reader before the device's own
// notifier does. Events are rare: up, down, MTU.
const guardEvents = 8

// guard makes the promises of this package about Close hold for a device that
// does not keep them itself: some of wireguard-go's block in Name after Close,
// leave a goroutine behind when nobody reads Events, or race between Name and
// MTU. inner needs to end its Read and close its Events when it is closed.
type guard struct {
	inner  tun.Device
	before func()         // called once, before inner is closed; may be nil
	after  func() error   // called once, after inner is closed; may be nil
	events chan tun.Event // closed by forward
	done   chan struct{}  // closed by Close
	once   sync.Once
	err    error // result of the first Close

	mu   sync.Mutex // guards name, and Name and MTU of inner
	name string     // last known
}

// newGuard takes over inner. The guard's goroutine ends when inner closes its
// events.
func newGuard(inner tun.Device, before func(), after func() error) *guard {
	g := &guard{
		inner:  inner,
		before: before,
		after:  after,
		events: make(chan tun.Event, guardEvents),
		done:   make(chan struct{}),
	}
	go g.forward()
	return g
}

// forward passes events on, and after Close only drains them, so that inner's
// notifier is never stuck.
func (g *guard) forward() {
	defer close(g.events)
	for e := range g.inner.Events() {
		select {
		case g.events <- e:
		case <-g.done:
		}
	}
}

func (g *guard) closed() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// closedError turns whatever inner says while it is being closed into
// os.ErrClosed.
func (g *guard) closedError(err error) error {
	if err == nil || !g.closed() {
		return err
	}
	return os.ErrClosed
}

func (g *guard) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if g.closed() {
		return 0, os.ErrClosed
	}
	if len(bufs) == 0 {
		return 0, nil
	}
	n, err := g.inner.Read(bufs, sizes, offset)
	if err != nil {
		err = g.closedError(err)
	}
	return n, err
}

func (g *guard) Write(bufs [][]byte, offset int) (int, error) {
	if g.closed() {
		return 0, os.ErrClosed
	}
	if len(bufs) == 0 {
		return 0, nil
	}
	n, err := g.inner.Write(bufs, offset)
	if err != nil {
		err = g.closedError(err)
	}
	return n, err
}

// Name returns the current name, after Close the last one.
func (g *guard) Name() (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed() {
		name, err := g.inner.Name()
		if err == nil {
			g.name = name
			return name, nil
		}
		if !g.closed() {
			return "", err
		}
	}
	if g.name == "" {
		return "", os.ErrClosed
	}
	return g.name, nil
}

func (g *guard) MTU() (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed() {
		return 0, os.ErrClosed
	}
	mtu, err := g.inner.MTU()
	return mtu, g.closedError(err)
}

// Close ends Read, Write and the device. Later calls return what the first
// one did.
func (g *guard) Close() error {
	g.once.Do(func() {
		if g.before != nil {
			g.before()
		}
		close(g.done)
		g.err = g.inner.Close()
		if g.after != nil {
			if err := g.after(); err != nil && g.err == nil {
				g.err = err
			}
		}
		if g.err != nil {
			g.err = fmt.Errorf("close: %w", g.err)
		}
	})
	return g.err
}

// File returns the device's own file, which is nil where there is none. It is
// closed with the device. Do not call its Fd method: use SyscallConn.
func (g *guard) File() *os.File { return g.inner.File() }

// Events is closed after Close.
func (g *guard) Events() <-chan tun.Event { return g.events }

func (g *guard) BatchSize() int { return g.inner.BatchSize() }
