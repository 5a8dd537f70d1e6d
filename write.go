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
// dropped, which Counters tells, or found the link down. An error is the
// device's, ErrClosed, or what is wrong with offset; then the number is that of
// the packets known to be written.
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
	switch size = len(b.p.Buffer()); o.fate {
	case passed:
		run := b.count(size)
		b.send(buf, offset, size, run)
		b.takeLease(!w.seenIn(), run)
	case taken:
		b.count(size)
	case dropped:
		b.drops++
		w.tally.dropIn(o.reason, 1)
		w.noteDrop(b.cfg.filter, o.reason)
	}
	if b.reply != replyNone {
		w.answer(b, o.reason)
	}
}

// deliver writes b.out to the device and counts what it took.
func (w *Wrapper) deliver(b *batch, offset int) (n int, err error) {
	if len(b.out) > 0 {
		n, err = w.ip.Write(b.out, offset)
		if err != nil {
			n = max(0, min(n, len(b.out)))
			b.unsendLost(n, err)
			w.tally.dropIn(filter.ReasonDevice, len(b.out)-n)
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
