package tstun

import (
	"fmt"
	"runtime"

	"tstun/filter"
	"tstun/internal/accounting"
	"tstun/internal/inject"
)

// inbox is what Read keeps between two calls.
type inbox struct {
	segments  inject.Segments // what is left of an injected super-packet
	hostsTurn bool            // the last call served injections: look at the host first
	read      bool            // Read was called
	busy      bool            // the last call returned more than one packet
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
	if w.inbox.busy {
		// The goroutine that encrypts what the last call returned is runnable. Here it
		// finds that in the processor's cache. Another idle processor takes over this one.
		runtime.Gosched()
	}
	for {
		if w.isClosed() {
			return 0, ErrClosed
		}
		if len(bufs) == 0 {
			return 0, nil
		}
		n, err := w.readOnce(bufs, sizes, offset)
		if n > 0 || err != nil {
			w.inbox.busy = n > 1
			return n, w.orClosed(err)
		}
	}
}

// endRead lets the next Read in. A Close that came during this one may have
// left the rest to it.
func (w *Wrapper) endRead() {
	w.readMu.Unlock()
	if w.isClosed() {
		w.discardUnread()
	}
}

// discardUnread counts as dropped what a closed Wrapper will not hand out any
// more, unless a Read is going on, which does it at its end.
func (w *Wrapper) discardUnread() {
	if !w.readMu.TryLock() {
		return
	}
	defer w.readMu.Unlock()
	w.drops.Add(filter.ReasonClosed, w.inbox.segments.Discard()+w.host.Discard())
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

// readHost takes packets from the device through the outbound path.
func (w *Wrapper) readHost(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	n, err := w.host.Read(bufs, sizes, offset, wait)
	if n == 0 {
		return 0, err
	}
	b := &w.inbox.batch
	b.begin(w, accounting.Out)
	b.ahead.begin(b.Config.Filter, bufs[:n], sizes, offset)
	for i := range n {
		sizes[i] = b.outbound(bufs[i], sizes[i], i, offset)
	}
	b.ahead.end()
	w.watchSilence(sizes[:n], b.Now)
	b.enter()
	b.end()
	return n, err
}

// outbound takes packet i from the host, of the size that the device said and in buf
// from offset on, through the outbound path. It returns the packet's size, or 0 if it
// is not for WireGuard.
func (b *batch) outbound(buf []byte, size, i, offset int) int {
	switch {
	case size == 0:
		return 0 // an idle read of the device, no packet
	case size < 0:
		b.dropUnread(filter.ReasonMalformed, 1, false) // tundev.Malformed, or no size at all
		return 0
	case offset > len(buf) || size > len(buf)-offset:
		b.dropUnread(filter.ReasonTooLarge, 1, false)
		return 0
	}
	pkt := buf[offset : offset+size]
	size = b.cache.Lookup(pkt)
	if size > 0 && b.cache.Unseen {
		b.observeCached(pkt[:size])
		b.call.CountCached(&b.cache.ID, size)
		return size
	}
	b.Cached = size > 0
	b.decode(i, pkt)
	v := b.Outbound()
	b.observe(v)
	if v.Response.IsDrop() {
		b.countDrop(v.Reason)
		return 0
	}
	size = len(b.Packet.Buffer())
	run := b.count(size)
	if v.Response == filter.Handled {
		return 0
	}
	if b.cache.Fill(&b.Frame, b.SeesOut()) {
		b.cached(run)
	}
	return size
}

// readInjected takes as many injected packets as there are. What comes meanwhile is for
// the next batch: the configuration may have been changed for it.
func (w *Wrapper) readInjected(bufs [][]byte, sizes []int, offset int) (n int) {
	segs, queued := &w.inbox.segments, w.queue.Len()
	if !segs.More() && queued == 0 {
		return 0
	}
	b := &w.inbox.batch
	b.begin(w, accounting.Out)
	for n < len(bufs) && w.nextInjected(segs, &queued) {
		size, err := segs.Next(bufs[n][min(offset, len(bufs[n])):])
		if err != nil {
			b.dropUnread(filter.ReasonTooLarge, segs.Discard(), true)
			continue
		}
		sizes[n] = b.injectedOut(bufs[n][offset : offset+size])
		n++
	}
	w.watchSilence(sizes[:n], b.Now)
	b.enter()
	b.end()
	return n
}

// nextInjected makes sure that segs has a packet, if the queue has one among its first
// ones, of which it leaves queued.
func (w *Wrapper) nextInjected(segs *inject.Segments, queued *int) bool {
	for !segs.More() {
		if *queued == 0 {
			return false
		}
		*queued--
		p, ok := w.queue.Pop()
		if !ok {
			return false
		}
		if err := segs.Load(p); err != nil {
			w.logf("tstun: injected packet: %v", err)
			w.refuseInjected(filter.ReasonMalformed, inject.Packet{})
		}
	}
	return true
}

// injectedOut sends one injected packet and returns its size.
func (b *batch) injectedOut(pkt []byte) int {
	b.Packet.Decode(pkt)
	b.InjectedOut()
	b.observeInjected()
	size := len(b.Packet.Buffer())
	b.count(size)
	return size
}
