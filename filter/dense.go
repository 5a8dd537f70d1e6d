package filter

import "tstun/ipproto"

// dense is the part of the index for addresses that many rules name, where walking
// their lists would take long. It numbers units, and looks for one in three bitmaps:
//
//	source      ── the units that may come from there ──┐
//	destination ── the units that may go there ─────────┼─ a unit in all three
//	port        ── the units that allow it ─────────────┘
//
// A unit is a source set with one range of ports of the same protocols. Only units of
// addresses that many rules name have a number. The bitmaps are read from sweeps: one
// bitmap for each address would take memory in proportion to addresses × rules.
type dense struct {
	words int // of a bitmap
	// limit is the number of look-ups from which on reading bitmaps is quicker
	// than walking the lists.
	limit uint32

	srcs, dsts, ports        sweep
	srcPrefixes, dstPrefixes []densePrefix
	srcPrefixOf, dstPrefixOf []uint32 // by the number of a prefix: its densePrefix, or none
	classOf                  [256]uint16
	classes                  []protoClass
	whole                    []uint64 // bitmaps of the classes without ports
	setOf                    []uint32 // by unit, in ascending order: its set; nil but in a ruleIndex
}

// densePrefix is a prefix that, with the wider ones, many rules name.
type densePrefix struct {
	at    uint32 // in the sweep: with the prefix and all wider ones open
	items uint32 // in the lists of the prefix and all wider ones
	depth uint32 // lists that these are
}

// protoClass is a class of protocols that the same units allow on the same ports.
type protoClass struct {
	whole  int      // of a class without ports: index of its bitmap in dense.whole
	starts []uint16 // of a class with ports: ports at which the set of units changes
	at     []uint32 // by index in starts: position in the sweep
}

// Words of the three bitmaps that are on the stack at once. Clearing a large block
// takes longer than reading small bitmaps.
const (
	blockWords = 160
	smallWords = 16
)

// prefixes returns the dense prefixes with the numbers s and d. ok is false if one is
// not dense, or if walking their lists is quicker than reading the bitmaps.
func (x *dense) prefixes(s, d uint32) (src, dst *densePrefix, ok bool) {
	a, b := x.srcPrefixOf[s], x.dstPrefixOf[d]
	if a == none || b == none {
		return nil, nil, false
	}
	src, dst = &x.srcPrefixes[a], &x.dstPrefixes[b]
	return src, dst, walkCost(src, dst) > uint64(x.limit)
}

// walkCost returns the greatest number of look-ups that walking the lists takes.
func walkCost(src, dst *densePrefix) uint64 {
	return min(uint64(src.items)*uint64(dst.depth), uint64(dst.items)*uint64(src.depth))
}

// allows reports whether a unit has the source, the destination and the service.
func (x *dense) allows(src, dst *densePrefix, proto ipproto.Proto, port uint16) bool {
	q, ok := x.query(src, dst, proto, port)
	if !ok {
		return false
	}
	if x.words <= smallWords {
		return x.intersectSmall(q)
	}
	return x.intersectLarge(q)
}

// query returns which bitmaps to read. ok is false if no unit has the port.
func (x *dense) query(src, dst *densePrefix, proto ipproto.Proto, port uint16) (q bitmapQuery, ok bool) {
	class := &x.classes[x.classOf[proto]]
	q = bitmapQuery{src: src.at, dst: dst.at, whole: class.whole}
	if class.whole < 0 {
		q.port = class.find(port)
		return q, q.port != none
	}
	return q, true
}

// bitmapQuery says which three bitmaps to read.
type bitmapQuery struct {
	src, dst uint32 // positions in the sweeps
	port     uint32 // position in the sweep of ports, if whole is -1
	whole    int    // index of the bitmap in dense.whole, or -1
}

//go:noinline
func (x *dense) intersectSmall(q bitmapQuery) bool {
	var from, to, on [smallWords]uint64
	return x.intersectAll(q, from[:], to[:], on[:]) >= 0
}

//go:noinline
func (x *dense) intersectLarge(q bitmapQuery) bool {
	var from, to, on [blockWords]uint64
	return x.intersectAll(q, from[:], to[:], on[:]) >= 0
}

// intersectAll returns the first word of the first block of the three bitmaps with a unit
// in common, or -1. It reads them block by block into the three slices, which have one
// length.
func (x *dense) intersectAll(q bitmapQuery, from, to, on []uint64) int {
	for first := 0; first < x.words; first += len(from) {
		n := min(len(from), x.words-first)
		x.srcs.read(from[:n], first, q.src)
		x.dsts.read(to[:n], first, q.dst)
		if q.whole < 0 {
			x.ports.read(on[:n], first, q.port)
		} else {
			copy(on[:n], x.whole[q.whole+first:])
		}
		if intersect(from[:n], to[:n], on[:n]) {
			return first
		}
	}
	return -1
}

func intersect(a, b, c []uint64) bool {
	b, c = b[:len(a)], c[:len(a)]
	for i, w := range a {
		if w&b[i]&c[i] != 0 {
			return true
		}
	}
	return false
}

// find returns the position of a port in the sweep, or none.
func (c *protoClass) find(port uint16) uint32 {
	lo, hi := 0, len(c.starts)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if c.starts[mid] <= port {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return none
	}
	return c.at[lo-1]
}
