package policy

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"

	"tstun/filter"
	"tstun/ipproto"
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

// difference returns what is in a and not in b, two normal lists, as a normal
// list.
func difference(a, b []span) []span {
	var left []span
	for _, s := range a {
		for len(b) > 0 && b[0].last.compare(s.first) < 0 {
			b = b[1:]
		}
		rest, some := s, true
		for _, t := range b {
			if t.first.compare(s.last) > 0 {
				break
			}
			if rest.first.compare(t.first) < 0 {
				left = append(left, span{rest.first, t.first.before()})
			}
			if some = t.last.compare(s.last) < 0; !some {
				break
			}
			rest.first = t.last.next()
		}
		if some {
			left = append(left, rest)
		}
	}
	return left
}

// subset reports whether all of a is in b. Both are normal.
func subset(a, b []span) bool {
	for _, s := range a {
		if !inside(s, b) {
			return false
		}
	}
	return true
}

// inside reports whether all of s is in b, which is normal.
func inside(s span, b []span) bool {
	i := from(b, s.first)
	return i < len(b) && b[i].contains(s)
}

// overlap reports whether any of some is in all. Both are normal.
func overlap(some, all []span) bool {
	for _, s := range some {
		if i := from(all, s.first); i < len(all) && all[i].first.compare(s.last) <= 0 {
			return true
		}
	}
	return false
}

// from returns the index of the first of normal spans that does not end before
// p.
func from(spans []span, p point) int {
	i, _ := slices.BinarySearchFunc(spans, p, func(t span, p point) int { return t.last.compare(p) })
	return i
}

// size returns the number of points in normal spans, at most math.MaxUint64.
func size(spans []span) (n uint64) {
	for _, s := range spans {
		lo, borrow := bits.Sub64(s.last.lo, s.first.lo, 0)
		hi, _ := bits.Sub64(s.last.hi, s.first.hi, borrow)
		if hi > 0 {
			return math.MaxUint64
		}
		n = plus(n, plus(lo, 1))
	}
	return n
}

// plus returns the sum, at most math.MaxUint64.
func plus(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	if carry > 0 {
		return math.MaxUint64
	}
	return sum
}

// times returns the product, at most math.MaxUint64.
func times(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	if hi > 0 {
		return math.MaxUint64
	}
	return lo
}

// protoSpans returns protocols as a normal list.
func protoSpans(protos []ipproto.Proto) []span {
	spans := make([]span, len(protos))
	for i, p := range protos {
		at := point{lo: uint64(p)}
		spans[i] = span{at, at}
	}
	return normal(spans)
}

// portSpans returns ports as a normal list.
func portSpans(ranges []filter.PortRange) []span {
	spans := make([]span, len(ranges))
	for i, r := range ranges {
		spans[i] = portSpan(r)
	}
	return normal(spans)
}

// prefixesOf returns the fewest prefixes of an IP version that are the spans.
func prefixesOf(spans []span, version int) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range spans {
		all = append(all, prefixes(s.first.addr(version), s.last.addr(version))...)
	}
	return all
}
