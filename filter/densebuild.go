package filter

import (
	"math"
	"slices"

	"tstun/ipproto"
)

// denseBuild builds a dense index.
type denseBuild struct {
	x        *dense
	srcs     side[uint32] // sets
	dsts     side[grant]
	ruleDsts []ruleDst // sorted by destination
	services []service
	sets     int
	cost     func(words int) uint32 // see readCost
	apart    bool                   // see index.build

	units []uint64 // set<<32 | service, in ascending order
}

// side is the prefix tree of the sources or of the destinations, with their lists.
type side[T any] struct {
	tree
	lists lists[T]
	nodes []node[T]

	items, depth []uint32 // by prefix: items in its list and those of wider ones; number of these lists
	most         []uint32 // by prefix: greatest items of it and the prefixes that it contains
	deepest      uint32
}

func newSide[T any](t tree, l lists[T], nodes []node[T]) side[T] {
	n := len(nodes)
	s := side[T]{tree: t, lists: l, nodes: nodes, items: make([]uint32, n), depth: make([]uint32, n), most: make([]uint32, n)}
	for _, n := range t.order {
		s.items[n], s.depth[n] = uint32(len(l.of(n))), 1
		if up := t.up[n]; up != none {
			s.items[n] += s.items[up]
		}
		if up := nodes[n].up; up != none {
			s.depth[n] += s.depth[up]
		}
		s.deepest = max(s.deepest, s.depth[n])
		s.most[n] = s.items[n]
	}
	for _, n := range slices.Backward(t.order) {
		if up := t.up[n]; up != none {
			s.most[up] = max(s.most[up], s.most[n])
		}
	}
	return s
}

// isDense reports whether an address in prefix n may need more than limit look-ups.
// deepest is that of the other side.
func (s *side[T]) isDense(n, deepest, limit uint32) bool {
	return uint64(s.most[n])*uint64(deepest) > uint64(limit)
}

// worst returns the greatest number of look-ups that an address may need.
func (s *side[T]) worst(deepest uint32) uint64 {
	if len(s.most) == 0 {
		return 0
	}
	return uint64(slices.Max(s.most)) * uint64(deepest)
}

// newDense returns the dense index, or nil if walking lists is never slower.
func newDense(b denseBuild) *dense {
	worst := min(b.srcs.worst(b.dsts.deepest), b.dsts.worst(b.srcs.deepest))
	// The cost of bitmaps, and so the limit, depends on the number of units, and
	// that depends on the limit.
	limit := b.cost(1)
	for range 2 {
		if worst <= uint64(limit) {
			return nil
		}
		b.findUnits(limit)
		limit = max(limit, b.cost(b.words()))
	}
	if worst <= uint64(limit) || len(b.units) == 0 {
		return nil
	}
	b.x = &dense{words: b.words(), limit: limit}
	b.sweepSources()
	b.sweepDestinations()
	b.sweepServices()
	if b.apart {
		b.x.setOf = b.setOf()
	}
	return b.x
}

// setOf returns the set of each unit.
func (b *denseBuild) setOf() []uint32 {
	sets := make([]uint32, len(b.units))
	for i, u := range b.units {
		sets[i] = uint32(u >> 32)
	}
	return sets
}

// readCost returns how many look-ups take as long as reading three bitmaps of so many
// words.
func readCost(words int) uint32 {
	n := int64(words) // the product is beyond an int of 32 bits
	blocks := (n + blockWords - 1) / blockWords
	const start, perWord, perStep, lookup = 40, 1, 1, 6 // nanoseconds
	ns := start + perWord*n + perStep*n*blocks
	return uint32(min(ns/lookup, math.MaxUint32))
}

func (b *denseBuild) words() int { return (len(b.units) + 63) / 64 }

// findUnits finds the units of addresses that need more than limit look-ups.
func (b *denseBuild) findUnits(limit uint32) {
	in := make([]bool, b.sets)
	for n := range uint32(len(b.srcs.nodes)) {
		if b.srcs.isDense(n, b.dsts.deepest, limit) {
			for _, set := range b.srcs.lists.of(n) {
				in[set] = true
			}
		}
	}
	b.units = b.units[:0]
	for _, w := range b.ruleDsts {
		if in[w.set] && b.dsts.isDense(w.dst, b.srcs.deepest, limit) {
			b.units = append(b.units, uint64(w.set)<<32|uint64(w.service))
		}
	}
	slices.Sort(b.units)
	b.units = slices.Compact(b.units)
}

// sweepSources walks the prefixes of the sources. The items are sets. Each stands for
// the units with that set, which are consecutive.
func (b *denseBuild) sweepSources() {
	spans := make([]uint32, 0, len(b.units)+1)
	item := make([]uint32, b.sets) // by set: one more than its item
	for i, u := range b.units {
		if set := u >> 32; item[set] == 0 {
			spans = append(spans, uint32(i))
			item[set] = uint32(len(spans))
		}
	}
	sets := len(spans)
	spans = append(spans, uint32(len(b.units)))
	if sets == len(b.units) {
		spans = nil // each item is one unit
	}
	l := lists[uint32]{at: make([]uint32, len(b.srcs.nodes)+1)}
	for n := range uint32(len(b.srcs.nodes)) {
		if b.srcs.isDense(n, b.dsts.deepest, b.x.limit) {
			for _, set := range b.srcs.lists.of(n) {
				if item[set] != 0 {
					l.items = append(l.items, item[set]-1)
				}
			}
		}
		l.at[n+1] = uint32(len(l.items))
	}
	w := newSweep(b.words(), spans)
	b.x.srcPrefixOf, b.x.srcPrefixes = walk(&b.srcs, b.dsts.deepest, b.x.limit, l, sets, w)
	b.x.srcs = w.done()
}

// sweepDestinations walks the prefixes of the destinations. The items are
// units.
func (b *denseBuild) sweepDestinations() {
	l := lists[uint32]{at: make([]uint32, len(b.dsts.nodes)+1)}
	for _, w := range b.ruleDsts {
		if !b.dsts.isDense(w.dst, b.srcs.deepest, b.x.limit) {
			continue
		}
		if i, ok := slices.BinarySearch(b.units, uint64(w.set)<<32|uint64(w.service)); ok {
			l.items = append(l.items, uint32(i))
			l.at[w.dst+1] = uint32(len(l.items))
		}
	}
	for i := range b.dsts.nodes {
		l.at[i+1] = max(l.at[i+1], l.at[i]) // of nodes without items
	}
	w := newSweep(b.words(), nil)
	b.x.dstPrefixOf, b.x.dstPrefixes = walk(&b.dsts, b.srcs.deepest, b.x.limit, l, len(b.units), w)
	b.x.dsts = w.done()
}

// walk walks the tree of the dense prefixes. It flips the items of each into the set
// before the prefixes that it contains, and out of the set after them. An item of
// several nested prefixes is flipped in and out once.
func walk[T any](s *side[T], deepest, limit uint32, items lists[uint32], n int, w *sweepBuilder) ([]uint32, []densePrefix) {
	of := slices.Repeat([]uint32{none}, len(s.nodes))
	var prefixes []densePrefix
	open := make([]uint32, n)
	var path []uint32 // the prefixes that are open, wider ones first
	leave := func() {
		last := path[len(path)-1]
		path = path[:len(path)-1]
		for _, item := range items.of(last) {
			if open[item]--; open[item] == 0 {
				w.flip(item)
			}
		}
	}
	for _, n := range s.depthFirst() {
		if !s.isDense(n, deepest, limit) {
			continue
		}
		for len(path) > 0 && path[len(path)-1] != s.up[n] {
			leave()
		}
		path = append(path, n)
		for _, item := range items.of(n) {
			if open[item]++; open[item] == 1 {
				w.flip(item)
			}
		}
		of[n] = uint32(len(prefixes))
		prefixes = append(prefixes, densePrefix{at: w.at(), items: s.items[n], depth: s.depth[n]})
	}
	return of, slices.Clip(prefixes)
}

// done returns the sweep, without spare capacity.
func (b *sweepBuilder) done() sweep {
	b.steps, b.kept = slices.Clone(b.steps), slices.Clone(b.kept)
	return b.sweep
}

// sweepServices walks the ports of each class of protocols that have ports.
func (b *denseBuild) sweepServices() {
	serviceOf := func(u uint64) *service { return &b.services[uint32(u)] }
	members := b.classify(serviceOf)
	w := newSweep(b.words(), nil)
	var changes []uint64 // port<<32 | unit
	for _, p := range members {
		c := protoClass{whole: -1}
		if !p.HasPorts() {
			c.whole = len(b.x.whole)
			b.x.whole = append(b.x.whole, make([]uint64, b.words())...)
		}
		changes = changes[:0]
		for i, u := range b.units {
			s := serviceOf(u)
			first, last, ok := s.portsOf(p)
			switch {
			case !ok:
			case !p.HasPorts():
				b.x.whole[c.whole+i/64] |= 1 << (i % 64)
			default:
				changes = append(changes, uint64(first)<<32|uint64(i), (uint64(last)+1)<<32|uint64(i))
			}
		}
		slices.Sort(changes)
		for i, change := range changes {
			w.flip(uint32(change))
			if i+1 == len(changes) || changes[i+1]>>32 != change>>32 {
				if port := change >> 32; port <= maxPort {
					c.starts, c.at = append(c.starts, uint16(port)), append(c.at, w.at())
				}
			}
		}
		c.starts, c.at = slices.Clone(c.starts), slices.Clone(c.at)
		b.x.classes = append(b.x.classes, c)
	}
	b.x.ports = w.done()
}

// classify divides the protocols into classes of which each unit allows all or none.
// It returns one protocol of each class.
func (b *denseBuild) classify(serviceOf func(uint64) *service) (members []ipproto.Proto) {
	class := &b.x.classOf
	for p := range class {
		if ipproto.Proto(p).HasPorts() {
			class[p] = 1
		}
	}
	seen := make(map[protoSet]bool)
	for _, u := range b.units {
		set := serviceOf(u).protos()
		if seen[set] {
			continue
		}
		seen[set] = true
		type half struct {
			class uint16
			in    bool
		}
		number := make(map[half]uint16)
		for p := range class {
			h := half{class[p], set.has(ipproto.Proto(p))}
			if _, ok := number[h]; !ok {
				number[h] = uint16(len(number))
			}
			class[p] = number[h]
		}
	}
	for p, c := range class {
		if int(c) == len(members) {
			members = append(members, ipproto.Proto(p))
		}
	}
	return members
}
