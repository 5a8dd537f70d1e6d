package tstun

import (
	"os"
	"sync"
	"tstun/internal/accounting"

	"golang.zx2c4.com/wireguard/tun"
)

// Unbatched is a Wrapper that moves one packet per call, as tun.Device did
// before it learned to batch. All methods may be called from any goroutine.
type Unbatched struct {
	w *Wrapper

	mu    sync.Mutex // held by the Read that is going on; guards the below
	bufs  [1][]byte
	sizes [1]int
}

// Unbatched returns the one-packet form of w. Both forms may be used at once.
func (w *Wrapper) Unbatched() *Unbatched { return &Unbatched{w: w} }

// Read waits for the next packet that passes, from the host or injected, puts
// it into buf from offset on and returns its length. Packets that are dropped
// it passes over.
func (u *Unbatched) Read(buf []byte, offset int) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bufs[0] = buf
	defer func() { u.bufs[0] = nil }()
	for {
		n, err := u.w.Read(u.bufs[:], u.sizes[:], offset)
		if n > 0 && u.sizes[0] > 0 {
			return u.sizes[0], nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// Write takes one packet, in buf from offset on, through the inbound path, and
// returns len(buf)-offset once it is dealt with: when the device took it, when a
// hook or the Wrapper itself did, as with a ping that it answers, when it is a
// fragment that is held back, whatever becomes of that when the first of its
// datagram comes, and also when the link was down and the packet was lost, which
// Counters tells. What follows the packet in buf, behind the length in its IP
// header, is not written.
//
// A packet that is dropped before it reaches the device is ErrFiltered: refused
// by the filter, dropped by a hook, malformed, empty or any other reason. The
// rest is Wrapper.Write's errors: the device's own, and ErrClosed. With an error
// the number is 0. Write may change the bytes of buf, also the PacketStartOffset
// bytes before offset, and keeps nothing.
func (u *Unbatched) Write(buf []byte, offset int) (int, error) {
	b := u.w.pool.acquire()
	b.begin(u.w, accounting.In)
	defer b.release()
	b.one[0] = buf
	if _, err := u.w.write(&b.batch, b.one[:], offset); err != nil {
		return 0, err
	}
	if b.refused > 0 {
		return 0, ErrFiltered
	}
	return len(buf) - offset, nil
}

// Flush passes on what the device holds back, if it is of a kind that does: one
// with a method Flush. Otherwise it does nothing.
func (u *Unbatched) Flush() error {
	if u.w.isClosed() {
		return ErrClosed
	}
	if f, ok := u.w.ip.(interface{ Flush() error }); ok {
		return u.w.orClosed(f.Flush())
	}
	return nil
}

// Events is Wrapper.Events. Callers must not close the channel.
func (u *Unbatched) Events() chan tun.Event {
	u.w.events.run()
	return u.w.events.other
}

// File is Wrapper.File.
func (u *Unbatched) File() *os.File { return u.w.File() }

// MTU is Wrapper.MTU.
func (u *Unbatched) MTU() (int, error) { return u.w.MTU() }

// Name is Wrapper.Name.
func (u *Unbatched) Name() (string, error) { return u.w.Name() }

// Close is Wrapper.Close.
func (u *Unbatched) Close() error { return u.w.Close() }
