package policy

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"tstun/filter"
)

// point is an address, a port or a protocol, as a number.
type point struct{ hi, lo uint64 }

func (p point) compare(q point) int { return cmp.Or(cmp.Compare(p.hi, q.hi), cmp.Compare(p.lo, q.lo)) }

// next returns the point behind p, or p if there is none.
func (p point) next() point {
	switch {
	case p.lo != ^uint64(0):
		p.lo++
	case p.hi != ^uint64(0):
		p.hi, p.lo = p.hi+1, 0
	}
	return p
}

// before returns the point before p, which is not the first.
func (p point) before() point {
	if p.lo == 0 {
		p.hi--
	}
	p.lo--
	return p
}

func pointOf(a netip.Addr) point {
	if a.Is4() {
		b := a.As4()
		return point{lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return point{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// addr returns the address of an IP version: 0 is IPv4, 1 is IPv6.
func (p point) addr(version int) netip.Addr {
	if version == 0 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(p.lo))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], p.hi)
	binary.BigEndian.PutUint64(b[8:], p.lo)
	return netip.AddrFrom16(b)
}

// span is the points from first to last, both included.
type span struct{ first, last point }

func spanOf(p netip.Prefix) span { return span{pointOf(p.Addr()), pointOf(lastOf(p))} }

func portSpan(r filter.PortRange) span {
	return span{point{lo: uint64(r.First)}, point{lo: uint64(r.Last)}}
}

// contains reports whether all of t is in s.
func (s span) contains(t span) bool {
	return s.first.compare(t.first) <= 0 && t.last.compare(s.last) <= 0
}

// normal sorts spans and joins those that touch. It changes the slice.
func normal(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.first.compare(b.first) })
	joined := spans[:0]
	for _, s := range spans {
		if n := len(joined); n > 0 && s.first.compare(joined[n-1].last.next()) <= 0 {
			if s.last.compare(joined[n-1].last) > 0 {
				joined[n-1].last = s.last
			}
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}

// intersection returns what is in both of two normal lists, as a normal list.
func intersection(a, b []span) []span {
	var both []span
	for len(a) > 0 && len(b) > 0 {
		s := a[0]
		if b[0].first.compare(s.first) > 0 {
			s.first = b[0].first
		}
		if b[0].last.compare(s.last) < 0 {
			s.last = b[0].last
		}
		if s.first.compare(s.last) <= 0 {
			both = append(both, s)
		}
		if a[0].last.compare(b[0].last) < 0 {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}
