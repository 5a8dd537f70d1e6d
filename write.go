package tstun

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"

	"tstun/filter"
)

// Write takes packets that came out of WireGuard, each in bufs from offset
// on, through the inbound path and writes those that pass to the device. It
// may change the bytes of bufs, also the PacketStartOffset bytes in front of
// a packet, but not the slice itself, and keeps nothing.
//
// It returns len(bufs) when all packets are dealt with, also if some were
// dropped or are held back, which Counters tells, or found the link down. A
// fragment that comes before the first of its datagram is copied and held for
// it, for two seconds at most; when the first has come, they are judged, and
// those that pass are delivered behind it in the datagram's order. If the first
// is dropped, they are for the same reason; if it does not come, they are dropped
// as filter.ReasonFragmentOrphan at the next packet, at the next call of Counters
// or at Close. Of a datagram 64 are held, and 1 MiB in all, which peers that want
// more share evenly; what finds no room is dropped as an orphan at once.
//
// An error is the device's, ErrClosed, or what is wrong with offset; then the
// number is that of the packets known to be written.
func (w *Wrapper) Write(bufs [][]byte, offset int) (int, error) {
	l := w.begin()
	defer l.leave()
	return w.write(&l.batch, bufs, offset)
}

func (w *Wrapper) write(b *batch, bufs [][]byte, offset int) (int, error) {
	if w.isClosed() {
		return 0, ErrClosed
	}
	if offset < 0 {
		return 0, fmt.Errorf("tstun: write: offset %d", offset)
	}
	if len(bufs) > 0 {
		w.noteHeard()
	}
	for _, buf := range bufs {
		w.receive(b, buf, offset)
	}
	if n, err := w.deliver(b, offset); err != nil {
		return n, err
	}
	return len(bufs), nil
}

// receive judges one packet from WireGuard.
func (w *Wrapper) receive(b *batch, buf []byte, offset int) {
	pkt := buf[min(offset, len(buf)):]
	size := b.lease.cover(pkt)
	if size > 0 && b.lease.whole {
		b.send(buf, offset, size, b.countLeased(size))
		return
	}
	b.p.Decode(pkt)
	b.known = size > 0
	o := b.inbound()
	if o.fate == waits {
		if w.hold(b) {
			return
		}
		o = b.admit(b.cfg.peers.find(b.p.Src.Addr()))
	}
	if o.fate == dropped {
		b.refused++
	}
	w.dispose(b, o, buf, offset)
	if b.p.IsFragment() {
		w.release(b, o, offset)
	}
}

// dispose does to the packet in hand, which is in buf from offset on, what the
// path has found.
func (w *Wrapper) dispose(b *batch, o outcome, buf []byte, offset int) {
	switch size := len(b.p.Buffer()); o.fate {
	case passed:
		run := b.count(size)
		b.send(buf, offset, size, run)
		b.takeLease(!w.seenIn(), run)
	case taken:
		b.count(size)
	case dropped:
		b.drops.add(o.reason, 1)
		w.noteDrop(b.cfg.filter, o.reason)
	}
	if b.reply != replyNone {
		w.answer(b, o.reason)
	}
}

// deliver writes b.out to the device and counts what it took. n is how many of
// the caller's packets it took of those that passed.
func (w *Wrapper) deliver(b *batch, offset int) (n int, err error) {
	if len(b.out) > 0 {
		n, err = w.ip.Write(b.out, offset)
		if err != nil {
			n = max(0, min(n, len(b.out)))
			b.unsendLost(n, err)
			b.drops.add(filter.ReasonDevice, len(b.out)-n)
			n = b.ownSent(n)
		}
		err = w.linkIO.judge(w, err)
	}
	b.tally()
	return n, err
}

// linkErrors tells errors that a program cannot mend from those that it
// should see.
type linkErrors struct {
	down atomic.Bool // the last write found the link down
}

func (l *linkErrors) judge(w *Wrapper, err error) error {
	switch {
	case err == nil:
		if l.down.Load() {
			l.down.Store(false)
		}
		return nil
	case w.orClosed(err) == ErrClosed:
		return ErrClosed
	case errors.Is(err, syscall.EIO):
		// What Linux says of a TUN whose link is down. The next packet may
		// find it up again.
		if !l.down.Swap(true) {
			name, _ := w.Name()
			w.logf("tstun: %s: the link is down; packets for it are dropped until it is up", name)
		}
		return nil
	default:
		return err
	}
}
