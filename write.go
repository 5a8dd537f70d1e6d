package tstun

import (
	"fmt"
	"sync/atomic"

	"tstun/filter"
	"tstun/internal/accounting"
	"tstun/internal/deverr"
	"tstun/internal/pipeline"
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
	b := w.pool.acquire()
	b.begin(w, accounting.In)
	defer b.release()
	return w.write(&b.batch, bufs, offset)
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
	b.ahead.begin(b.Config.Filter, bufs, nil, offset)
	for i, buf := range bufs {
		b.inbound(buf, i, offset)
	}
	b.ahead.end()
	if n, err := w.deliver(b, offset); err != nil {
		return n, err
	}
	return len(bufs), nil
}

// inbound takes packet i from WireGuard, which is in buf from offset on, through the
// inbound path.
func (b *batch) inbound(buf []byte, i, offset int) {
	pkt := buf[min(offset, len(buf)):]
	size := b.cache.Lookup(pkt)
	if size > 0 && b.cache.Unseen {
		b.observeCached(pkt[:size])
		b.send(buf, offset, size, b.call.CountCached(&b.cache.ID, size))
		return
	}
	b.Cached = size > 0
	b.decode(i, pkt)
	v := b.Inbound()
	if b.Waits {
		if b.hold() {
			return
		}
		v = b.Admit()
	}
	if v.Response.IsDrop() {
		b.refused++
	}
	b.dispatch(v, buf, offset)
	if b.Packet.IsFragment() {
		b.releaseHeld(v, offset)
	}
}

// dispatch counts the packet in hand, which is in buf from offset on, and sends
// it where its verdict says: to the device, or nowhere and perhaps a reply to
// the peer.
func (b *batch) dispatch(v filter.Verdict, buf []byte, offset int) {
	b.observe(v)
	switch size := len(b.Packet.Buffer()); v.Response {
	case filter.Accept:
		run := b.count(size)
		b.send(buf, offset, size, run)
		if b.cache.Fill(&b.Frame, b.SeesIn()) {
			b.cached(run)
		}
	case filter.Handled:
		b.count(size)
	default:
		b.countDrop(v.Reason)
	}
	if b.Reply != pipeline.NoReply {
		b.w.reply(b, v.Reason)
	}
}

// deliver writes b.out to the device, counts what it took, and sends the replies. n is
// how many of the caller's packets it took of those that passed.
func (w *Wrapper) deliver(b *batch, offset int) (n int, err error) {
	if len(b.out) > 0 {
		n, err = w.ip.Write(b.out, offset)
		if err != nil {
			n = max(0, min(n, len(b.out)))
			b.dropLost(n, err)
			n = b.ownSent(n)
		}
		err = w.linkIO.judge(w, err)
	}
	b.enter()
	w.sendReplies(b)
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
	case deverr.LinkDown(err):
		if !l.down.Swap(true) {
			w.logf("tstun: %s: the link is down; packets for it are dropped until it is up", w.label())
		}
		return nil
	default:
		return err
	}
}
