package tstun

import (
	"fmt"

	"tstun/filter"
)

// inbox is what Read keeps between two calls.
type inbox struct {
	segments  segments // what is left of an injected super-packet
	hostsTurn bool     // the last call served injections: look at the host first
	read      bool     // Read was called
	silence   silence
	batch     batch
}

// Read waits until there are packets from the host or injected ones, puts
// those of either kind that are ready into bufs from offset on, and returns
// their number. bufs stay the caller's and in their order: a packet that does
// not go through leaves a size of 0. len(sizes) must be at least len(bufs).
// One Read runs at a time; hooks that it calls must not call it.
//
// Errors are the device's own, ErrClosed once it or the Wrapper is closed, and
// what is wrong with the arguments.
func (w *Wrapper) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	if w.isClosed() {
		return 0, ErrClosed
	}
	if offset < 0 || len(sizes) < len(bufs) {
		return 0, fmt.Errorf("tstun: read: offset %d, %d buffers, %d sizes", offset, len(bufs), len(sizes))
	}
	w.readMu.Lock()
	defer w.endRead()
	w.inbox.read = true
	for {
		if w.isClosed() {
			return 0, ErrClosed
		}
		if len(bufs) == 0 {
			return 0, nil
		}
		n, err := w.readOnce(bufs, sizes, offset)
		if n > 0 || err != nil {
			return n, w.orClosed(err)
		}
	}
}

// endRead lets the next Read in. A Close that came during this one may have
// left the rest to it.
func (w *Wrapper) endRead() {
	w.readMu.Unlock()
	if w.isClosed() {
		w.abandonReading()
	}
}

// abandonReading counts what a closed Wrapper will not hand out any more,
// unless a Read is going on, which does it at its end.
func (w *Wrapper) abandonReading() {
	if !w.readMu.TryLock() {
		return
	}
	defer w.readMu.Unlock()
	w.tally.dropOut(filter.ReasonClosed, w.inbox.segments.abandon()+w.src.abandon())
}

// readOnce serves the host and the injectors by turns, so that neither starves
// the other. It may come back with nothing.
func (w *Wrapper) readOnce(bufs [][]byte, sizes []int, offset int) (int, error) {
	if w.inbox.hostsTurn {
		w.inbox.hostsTurn = false
		if n, err := w.readHost(bufs, sizes, offset, false); n > 0 || err != nil {
			return n, err
		}
	}
	if n := w.readInjected(bufs, sizes, offset); n > 0 {
		w.inbox.hostsTurn = true
		return n, nil
	}
	return w.readHost(bufs, sizes, offset, true)
}

// readHost takes packets from the device and sends them down the path.
func (w *Wrapper) readHost(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	n, err := w.src.read(bufs, sizes, offset, wait)
	if n == 0 {
		return 0, err
	}
	b := &w.inbox.batch
	b.begin(w, dirOut)
	for i := range n {
		sizes[i] = w.sendHost(b, bufs[i], sizes[i], offset)
	}
	w.watchSilence(sizes[:n], b.now)
	b.tally()
	b.end()
	return n, err
}

// sendHost judges one packet from the host and returns its size, or 0 if it
// is not for WireGuard.
func (w *Wrapper) sendHost(b *batch, buf []byte, size, offset int) int {
	if size == 0 {
		return 0 // an idle read of the device, no packet
	}
	if size < 0 {
		w.tally.dropOut(filter.ReasonMalformed, 1) // tundev.Malformed, or no size at all
		return 0
	}
	if offset > len(buf) || size > len(buf)-offset {
		w.tally.dropOut(filter.ReasonTooLarge, 1)
		return 0
	}
	pkt := buf[offset : offset+size]
	size = b.lease.cover(pkt)
	if size > 0 && b.lease.whole {
		b.countLeased(size)
		return size
	}
	b.p.Decode(pkt)
	b.known = size > 0
	o := b.outbound()
	if o.fate == dropped {
		w.tally.dropOut(o.reason, 1)
		w.noteDrop(b.cfg.filter, o.reason)
		return 0
	}
	size = len(b.p.Buffer())
	run := b.count(size)
	if o.fate == taken {
		return 0
	}
	b.takeLease(!w.seenOut() && len(b.cfg.activity) == 0, run)
	return size
}

// readInjected takes as many injected packets as there are.
func (w *Wrapper) readInjected(bufs [][]byte, sizes []int, offset int) (n int) {
	segs := &w.inbox.segments
	if !w.nextInjection(segs) {
		return 0
	}
	b := &w.inbox.batch
	b.begin(w, dirOut)
	for n < len(bufs) && w.nextInjection(segs) {
		size, err := segs.next(bufs[n][min(offset, len(bufs[n])):])
		if err != nil {
			w.tally.dropOut(filter.ReasonTooLarge, segs.abandon())
			continue
		}
		sizes[n] = w.sendInjected(b, bufs[n][offset:offset+size])
		n++
	}
	w.watchSilence(sizes[:n], b.now)
	b.tally()
	b.end()
	return n
}

// nextInjection makes sure that segs has something to give, if the queue has.
func (w *Wrapper) nextInjection(segs *segments) bool {
	for !segs.more() {
		i, ok := w.queue.pop()
		if !ok {
			return false
		}
		if err := segs.load(i); err != nil {
			w.logf("tstun: injected packet: %v", err)
			w.tally.dropOut(filter.ReasonMalformed, 1)
		}
	}
	return true
}

// sendInjected sends one injected packet and returns its size.
func (w *Wrapper) sendInjected(b *batch, pkt []byte) int {
	b.p.Decode(pkt)
	b.injected()
	size := len(b.p.Buffer())
	b.count(size)
	return size
}
