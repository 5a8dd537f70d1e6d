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

// eventBuffer is how many events the channel holds before their sender waits
// for a reader. Events are rare: up, down, MTU.
const eventBuffer = 8

// closeGuard keeps the package's promises about Close for a device that does not
// keep them itself: some of wireguard-go's block in Name after Close, leave a
// goroutine behind when nobody reads Events, or have a data race between Name
// and MTU. inner must end its Read and close its Events when it is closed.
type closeGuard struct {
	inner  tun.Device
	before func()         // called once, before inner is closed; may be nil
	after  func() error   // called once, after inner is closed; may be nil
	need   int            // least offset that inner takes
	events chan tun.Event // closed by forward
	done   chan struct{}  // closed by Close
	once   sync.Once
	err    error // result of the first Close

	mu   sync.Mutex // guards name, mtu, and inner's methods but Read and Write
	name string     // last known, or "" if it never was
	mtu  int        // last known, or 0 if it never was
}

// familySize is the length in bytes of the address family that precedes each
// packet on the BSDs (tun(4), TUNSIFHEAD) and macOS (net/if_utun.h).
const familySize = 4

// headroom returns the least offset that wireguard-go's device takes on the
// system goos. The device panics on a smaller one.
func headroom(goos string) int {
	switch goos {
	case "darwin", "ios", "freebsd", "openbsd":
		return familySize
	}
	return 0
}

// newCloseGuard takes over inner. The closeGuard's goroutine ends when inner
// closes its events.
func newCloseGuard(inner tun.Device, before func(), after func() error) *closeGuard {
	g := &closeGuard{
		inner:  inner,
		before: before,
		after:  after,
		need:   headroom(runtime.GOOS),
		events: make(chan tun.Event, eventBuffer),
		done:   make(chan struct{}),
	}
	g.Name() // makes the name and the MTU known
	g.MTU()
	go g.forward()
	return g
}

// forward passes events on. After Close it drops them, so that inner's sender
// never waits.
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

// closedError returns os.ErrClosed in place of any error of a device that is
// being closed, and every other err as it is.
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

// headroom returns the least offset, for TAP.
func (g *closeGuard) headroom() int { return g.need }

// checkOffset refuses an offset on which inner would panic.
func (g *closeGuard) checkOffset(offset int) error {
	if offset < g.need {
		return fmt.Errorf("offset %d, need %d: %w", offset, g.need, io.ErrShortBuffer)
	}
	return nil
}

// Write leaves out empty packets. Some devices panic on them, and others drop
// the whole batch.
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

// Close ends Read, Write and the device. Later calls return the error of the
// first.
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

// closeInner closes inner while no ForceMTU runs, which would send on inner's
// closed events.
func (g *closeGuard) closeInner() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = g.inner.Close()
}

// File returns the device's own file, or nil if it has none. It is closed with
// the device. Do not call its Fd method: use SyscallConn.
func (g *closeGuard) File() *os.File { return g.inner.File() }

// Events returns the channel of events, which is closed after Close.
func (g *closeGuard) Events() <-chan tun.Event { return g.events }

func (g *closeGuard) BatchSize() int { return g.inner.BatchSize() }
