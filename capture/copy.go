package capture

import (
	"context"
	"errors"
	"time"

	"tstun/filter"
	"tstun/flow"
	"tstun/internal/clock"
	"tstun/packet"
)

const (
	// copyLen is how much of a History is copied at once: a few of the longest packets.
	copyLen = 256 << 10
	// copyWait is how long Copy waits for room, and followWait for packets. Who follows
	// costs the path nothing so.
	copyWait   = time.Millisecond
	followWait = flushDelay
	// disorder bounds how much later than others a packet is in the ring: calls of Read
	// and Write that go on at once have their own times.
	disorder = time.Second
)

// Kept is a packet of a History. It is valid during the call of Excerpt.Match.
type Kept struct {
	Packet  *packet.Parsed // of what is kept; the rest of its length is zeros
	Time    time.Time
	Inbound bool
	Verdict filter.Verdict
	Peer    flow.PeerID // as Observation.Peer told it
}

// Excerpt says which packets of a History are wanted. The zero value asks for all, and
// those to come.
type Excerpt struct {
	// Since is from when on, Until before when. Without Until, packets that come are
	// wanted too.
	Since, Until time.Time
	// Match says which. nil: all. It runs on the goroutine that calls Copy.
	Match func(*Kept) bool
	// Count is how many. 0: without an end.
	Count uint64
}

// ErrHistoryClosed is that a History was closed.
var ErrHistoryClosed = errors.New("capture: the history was closed")

// Copy gives c, whose Sink nobody else may use, the packets of h that x asks for, each
// once and in h's order, until there are no more, ctx ends, or c does, whose error it
// returns. It waits for c's io.Writer. If that takes so long that packets make room
// before they were looked at, they count as lost to c, and so do those that h had no
// room for.
func (h *History) Copy(ctx context.Context, c *Capture, x Excerpt) error {
	k := copier{h: h, c: c, x: x, buf: make([]byte, copyLen)}
	k.begin()
	for !k.ended {
		at := clock.Time(clock.Now())
		n := k.fetch()
		switch err := k.give(ctx, k.buf[:n]); {
		case err != nil:
			return err
		case n > 0:
			continue
		case !x.Until.IsZero() && !at.Before(x.Until):
			return nil
		}
		if err := k.wait(ctx, followWait); err != nil {
			return err
		}
	}
	return nil
}

// copier is one call of Copy.
type copier struct {
	h     *History
	c     *Capture
	x     Excerpt
	buf   []byte // cells
	ended bool

	pos    uint32 // in h, of the next record
	passed uint64 // records before it
	lost   uint64 // by h, as the last record said
	begun  bool   // there was one
	given  uint64

	whole  whole
	parsed packet.Parsed
}

// begin goes to the oldest record.
func (k *copier) begin() {
	k.h.mu.Lock()
	defer k.h.mu.Unlock()
	k.pos, k.passed = k.h.pos, k.h.gone
}

// fetch copies the next records to buf, and returns how many bytes they take.
func (k *copier) fetch() (n int) {
	h := k.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if missed := h.gone - k.passed; int64(missed) > 0 {
		k.c.ring.lost.Add(missed)
		k.pos, k.passed = h.pos, h.gone
	}
	for cells := h.nextLocked(k.pos); cells != 0; cells = h.nextLocked(k.pos) {
		size := int(cells) * cellSize
		if n+size > len(k.buf) {
			break
		}
		for range cells {
			n += copy(k.buf[n:], h.ring.first(k.pos, cellSize))
			k.pos++
		}
		k.passed++
	}
	return n
}

// give gives c what is wanted of the records in b.
func (k *copier) give(ctx context.Context, b []byte) error {
	var r record
	for len(b) > 0 && !k.ended {
		r.decode(b)
		size := int(cellsFor(r.size())) * cellSize
		at := clock.Time(r.now)
		k.noteLost(r.lost, at)
		if !k.x.Until.IsZero() && at.After(k.x.Until.Add(disorder)) {
			k.ended = true
		} else if k.wants(&r, at, b) {
			if err := k.push(ctx, &r, b[:size]); err != nil {
				return err
			}
			k.given++
			k.ended = k.given == k.x.Count
		}
		b = b[size:]
	}
	return nil
}

// noteLost counts what h lost since the record before, of what is asked for.
func (k *copier) noteLost(lost uint64, at time.Time) {
	if k.begun && lost > k.lost && !at.Before(k.x.Since) {
		k.c.ring.lost.Add(lost - k.lost)
	}
	k.lost, k.begun = max(lost, k.lost), true
}

// wants reports whether the record r, which b begins with, is asked for.
func (k *copier) wants(r *record, at time.Time, b []byte) bool {
	if at.Before(k.x.Since) || !k.x.Until.IsZero() && !at.Before(k.x.Until) {
		return false
	}
	if k.x.Match == nil {
		return true
	}
	k.parsed.Decode(k.whole.of(b[recordLen:][:r.kept], int(r.length)))
	return k.x.Match(&Kept{Packet: &k.parsed, Time: at, Inbound: r.inbound, Verdict: r.verdict, Peer: r.peer})
}

// push gives c the record r, whose cells are b, when there is room.
func (k *copier) push(ctx context.Context, r *record, b []byte) error {
	if f := k.h.filters.find(r.policy); f != nil {
		k.c.filters.note(f)
	}
	cells := uint32(len(b) / cellSize)
	for {
		if at, ok := k.c.ring.reserve(cells); ok {
			r.lost = k.c.ring.lost.Load()
			r.encode(b)
			k.c.ring.put(at, 0, b)
			k.c.ring.commit(at, cells)
			return nil
		}
		if err := k.wait(ctx, copyWait); err != nil {
			return err
		}
	}
}

// wait waits for a time, or returns why Copy ends.
func (k *copier) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-k.h.done:
		return ErrHistoryClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-k.c.done:
		return k.c.err
	}
}
