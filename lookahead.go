package tstun

import (
	"tstun/filter"
	"tstun/flow"
	"tstun/internal/accounting"
	"tstun/internal/prefetch"
	"tstun/packet"
)

const (
	// distance is how many packets ahead the processor fetches: as many as it judges
	// while it waits for memory once.
	distance = 8
	// mixedAfter is how many packets in a row the verdict cache must not know before it
	// is worth it.
	mixedAfter = 3
)

// lookahead decodes packets of a call some places ahead of the one in hand, and has the
// processor fetch meanwhile what the filter's look-up will read. Where packets of many
// flows come mixed, most of a look-up is waiting for memory.
type lookahead struct {
	bufs   [][]byte // the caller's; nil: it is not worth it
	sizes  []int    // of the packets by the device; nil: they say it themselves
	offset int      // of each in its buffer

	unknown int // packets in a row that the verdict cache did not know
	next    int // the packets before it were decoded, distance of them at most; 0: none
	decoded [distance]decoded
}

// decoded is a packet and the flow that it is of before NAT.
type decoded struct {
	packet packet.Parsed
	id     flow.ID
}

// begin begins a call with the packets in bufs, which f judges.
func (l *lookahead) begin(f *filter.Filter, bufs [][]byte, sizes []int, offset int) {
	if prefetch.Available && len(bufs) > mixedAfter && f != nil && f.WorthPrefetching() {
		l.bufs, l.sizes, l.offset = bufs, sizes, offset
	}
}

// end forgets what is the caller's.
func (l *lookahead) end() {
	if l.bufs == nil {
		return
	}
	l.bufs, l.sizes, l.unknown = nil, nil, 0
	if l.next > 0 {
		clear(l.decoded[:])
		l.next = 0
	}
}

// at returns the bytes of packet i, with what may follow it, or nothing if the device's
// size is none.
func (l *lookahead) at(i int) []byte {
	buf := l.bufs[i]
	switch {
	case l.sizes == nil:
		return buf[min(l.offset, len(buf)):]
	case l.sizes[i] < 0 || l.offset > len(buf) || l.sizes[i] > len(buf)-l.offset:
		return nil
	}
	return buf[l.offset : l.offset+l.sizes[i]]
}

// decode makes b.Packet packet i of the call, which is pkt. b.Cached says whether the
// verdict cache knew it.
func (b *batch) decode(i int, pkt []byte) {
	if b.ahead.bufs == nil {
		b.Packet.Decode(pkt)
		return
	}
	b.decodeAhead(i, pkt)
}

// decodeAhead is decode, and looks ahead.
func (b *batch) decodeAhead(i int, pkt []byte) {
	l := &b.ahead
	if i < l.next {
		d := &l.decoded[i%distance]
		b.Packet, b.ID, b.HasID = d.packet, d.id, true
	} else {
		b.Packet.Decode(pkt)
		b.HasID = false
	}
	if l.unknown++; b.Cached {
		l.unknown = 0
	}
	if l.unknown >= mixedAfter {
		b.lookAhead(i)
	}
}

// lookAhead decodes the packets behind packet i that are not decoded yet.
func (b *batch) lookAhead(i int) {
	l := &b.ahead
	for l.next = max(l.next, i+1); l.next < min(i+1+distance, len(l.bufs)); l.next++ {
		d := &l.decoded[l.next%distance]
		d.packet.Decode(l.at(l.next))
		if b.way == accounting.In {
			d.id.SetIn(&d.packet)
		} else {
			d.id.SetOut(&d.packet)
		}
		b.Config.Filter.Prefetch(&d.id)
	}
}
