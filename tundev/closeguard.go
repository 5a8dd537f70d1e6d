package tundev

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
)

// eventBuffer is how many events wait for a reader before the device's own
// notifier does. Events are rare: up, down, MTU.
const eventBuffer = 8

// closeGuard makes the promises of this package about Close hold for a device that
// does not keep them itself: some of wireguard-go's block in Name after Close,
// leave a goroutine behind when nobody reads Events, or race between Name and
// MTU. inner needs to end its Read and close its Events when it is closed.
type closeGuard struct {
	inner  tun.Device
	before func()         // called once, before inner is closed; may be nil
	after  func() error   // called once, after inner is closed; may be nil
	room   int            // bytes in front of a packet that inner needs
	events chan tun.Event // closed by forward
	done   chan struct{}  // closed by Close
	once   sync.Once
	err    error // result of the first Close

	mu   sync.Mutex // guards name, mtu, and inner's methods but Read and Write
	name string     // last known
	mtu  int        // last known, 0: never
}

// familySize is the size of the address family that stands in front of each
// packet on the BSDs (tun(4), TUNSIFHEAD) and macOS (net/if_utun.h).
const familySize = 4

// headroom is what wireguard-go's device needs on the system goos. It panics
// when there is less.
func headroom(goos string) int {
	switch goos {
	case "darwin", "ios", "freebsd", "openbsd":
		return familySize
	}
	return 0
}

// newCloseGuard takes over inner. The guard's goroutine ends when inner closes its
// events.
func newCloseGuard(inner tun.Device, before func(), after func() error) *closeGuard {
	g := &closeGuard{
		inner:  inner,
		before: before,
		after:  after,
		room:   headroom(runtime.GOOS),
		events: make(chan tun.Event, eventBuffer),
		done:   make(chan struct{}),
	}
	g.Name() // so that there is a last known one
	g.MTU()
	go g.forward()
	return g
}

// forward passes events on, and after Close only drains them, so that inner's
// notifier is never stuck.
func (g *closeGuard) forward() {
	defer close(g.events)
	for e := range g.inner.Events() {
		select {
		case g.events <- e:
		case <-g.done:
		}
	}
}

func (g *closeGuard) closed() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// closedError turns whatever inner says while it is being closed into
// os.ErrClosed.
func (g *closeGuard) closedError(err error) error {
	if err == nil || !g.closed() {
		return err
	}
	return os.ErrClosed
}

func (g *closeGuard) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if g.closed() {
		return 0, os.ErrClosed
	}
	if err := g.checkOffset(offset); err != nil {
		return 0, fmt.Errorf("read: %w", err)
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

// headroom is for TAP.
func (g *closeGuard) headroom() int { return g.room }

// checkOffset refuses what inner would panic on.
func (g *closeGuard) checkOffset(offset int) error {
	if offset < g.room {
		return fmt.Errorf("offset %d, need %d: %w", offset, g.room, io.ErrShortBuffer)
	}
	return nil
}

// Write leaves empty packets out, on which some devices panic and others give
// up the whole batch.
func (g *closeGuard) Write(bufs [][]byte, offset int) (int, error) {
	if g.closed() {
		return 0, os.ErrClosed
	}
	if err := g.checkOffset(offset); err != nil {
		return 0, fmt.Errorf("write: %w", err)
	}
	empty := func(b []byte) bool { return len(b) <= offset }
	if slices.ContainsFunc(bufs, empty) {
		bufs = slices.DeleteFunc(slices.Clone(bufs), empty)
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

// Name returns the current name, or the last known one when the interface is
// gone.
func (g *closeGuard) Name() (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := os.ErrClosed
	if !g.closed() {
		var name string
		if name, err = g.inner.Name(); err == nil {
			g.name = name
		}
	}
	if g.name == "" {
		return "", g.closedError(err)
	}
	return g.name, nil
}

// MTU returns the current MTU, or the last known one when the interface is
// gone.
func (g *closeGuard) MTU() (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := os.ErrClosed
	if !g.closed() {
		var mtu int
		if mtu, err = g.inner.MTU(); err == nil {
			g.mtu = mtu
		}
	}
	if g.mtu == 0 {
		return 0, g.closedError(err)
	}
	return g.mtu, nil
}

// Close ends Read, Write and the device. Later calls return what the first
// one did.
func (g *closeGuard) Close() error {
	g.once.Do(func() {
		if g.before != nil {
			g.before()
		}
		close(g.done)
		g.closeInner()
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

// closeInner keeps a ForceMTU out, which would send on inner's closed events.
func (g *closeGuard) closeInner() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = g.inner.Close()
}

// File returns the device's own file, which is nil where there is none. It is
// closed with the device. Do not call its Fd method: use SyscallConn.
func (g *closeGuard) File() *os.File { return g.inner.File() }

// Events is closed after Close.
func (g *closeGuard) Events() <-chan tun.Event { return g.events }

func (g *closeGuard) BatchSize() int { return g.inner.BatchSize() }
