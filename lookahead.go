package tstun

import (
	"tstun/flow"
	"tstun/internal/accounting"
	"tstun/internal/prefetch"
	"tstun/packet"
)

// packets are those of one call, in the caller's buffers.
type packets struct {
	bufs   [][]byte
	sizes  []int // by the device; nil: the packets say it
	offset int   // of each in its buffer
}

// at returns the bytes of packet i, with what may follow it, or nothing if the device's
// size is none.
func (p *packets) at(i int) []byte {
	buf := p.bufs[i]
	switch {
	case p.sizes == nil:
		return buf[min(p.offset, len(buf)):]
	case p.sizes[i] < 0 || p.offset > len(buf) || p.sizes[i] > len(buf)-p.offset:
		return nil
	}
	return buf[p.offset : p.offset+p.sizes[i]]
}

const (
	// distance is how many packets ahead the processor fetches: as many as it judges
	// while it waits for memory once.
	distance = 8
	// mixedAfter is how many packets in a row the verdict cache must not know before it
	// is worth it.
	mixedAfter = 3
)

// lookahead decodes packets some places ahead of the one in hand, and has the processor
// fetch meanwhile what the filter's look-up will read. Where packets of many flows come
// mixed, most of a look-up is waiting for memory.
type lookahead struct {
	unknown int  // packets of the call in a row that the verdict cache did not know
	on      bool // it is worth it
	end     int  // the packets before it were decoded, distance of them at most; 0: none
	decoded [distance]decoded
}

// decoded is a packet and the flow that it is of before NAT.
type decoded struct {
	packet packet.Parsed
	id     flow.ID
}

// decode makes b.Packet packet i of p, which is pkt, and looks ahead. b.Cached says
// whether the verdict cache knew it.
func (b *batch) decode(p *packets, i int, pkt []byte) {
	l := &b.ahead
	if i < l.end {
		d := &l.decoded[i%distance]
		b.Packet, b.ID, b.HasID = d.packet, d.id, true
	} else {
		b.Packet.Decode(pkt)
		b.HasID = false
	}
	if l.unknown++; b.Cached {
		l.unknown, l.on = 0, false
	}
	if l.unknown == mixedAfter {
		l.on = prefetch.Available && b.Config.Filter != nil && b.Config.Filter.WorthPrefetching()
	}
	if l.on {
		b.lookAhead(p, i)
	}
}

// lookAhead decodes the packets behind packet i that are not decoded yet.
func (b *batch) lookAhead(p *packets, i int) {
	l := &b.ahead
	for l.end = max(l.end, i+1); l.end < min(i+1+distance, len(p.bufs)); l.end++ {
		d := &l.decoded[l.end%distance]
		d.packet.Decode(p.at(l.end))
		if b.way == accounting.In {
			d.id.SetIn(&d.packet)
		} else {
			d.id.SetOut(&d.packet)
		}
		b.Config.Filter.Prefetch(&d.id)
	}
}

// forget forgets the packets, which are the caller's.
func (l *lookahead) forget() {
	l.unknown, l.on = 0, false
	if l.end > 0 {
		clear(l.decoded[:])
		l.end = 0
	}
}
