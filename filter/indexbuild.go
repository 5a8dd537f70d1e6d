package filter

import (
	"cmp"
	"net/netip"
	"slices"
)

// newIndex returns the index of valid rules.
func newIndex(rules scan) *index {
	if rules.isShort() {
		return &index{short: rules}
	}
	return buildIndex(rules, readCost)
}

// buildIndex builds the index of any number of rules. cost returns the number of
// look-ups up to which lists are walked and bitmaps of so many words are not read.
func buildIndex(rules scan, cost func(words int) uint32) *index {
	return new(index).build(rules, cost, false)
}

// build fills x in, which is empty, and returns it. With apart, rules with the same
// sources have a set each, with the number of the rule, and a unit of the bitmaps tells
// its rule.
func (x *index) build(rules scan, cost func(words int) uint32, apart bool) *index {
	srcs, dsts := 0, 0
	for i := range rules {
		srcs += len(rules[i].Srcs)
		dsts += len(rules[i].Dsts)
	}
	sets := setTable{
		prefixes: &x.srcs,
		single:   make([]uint32, 0, srcs),
		sets:     make([]prefixSetOf, 0, len(rules)),
		members:  make([]uint32, 0, srcs),
		apart:    apart,
	}
	services := newServiceTable()
	ruleDsts := make([]ruleDst, 0, dsts)
	for i := range rules {
		set := sets.number(rules[i].Srcs)
		protos := rules[i].protoSet()
		for _, d := range rules[i].Dsts {
			dst, _ := x.dsts.add(d.Net.Masked())
			ruleDsts = append(ruleDsts, ruleDst{dst, set, services.number(plainService{protos, d.Ports})})
		}
	}
	bySrc, srcTree := sets.byPrefix(), newTree(&x.srcs)
	x.srcNodes, x.sets = flatten(srcTree, bySrc)
	x.marks = make([]uint64, len(x.srcNodes))
	for i := range x.srcNodes {
		for _, set := range x.srcNodes[i].list(x.sets) {
			x.marks[i] |= 1 << (set % 64)
		}
	}
	byDst, dstTree := grantsOf(ruleDsts, int(x.dsts.size), services), newTree(&x.dsts)
	x.dstNodes, x.grants = flatten(dstTree, byDst)
	x.services = services.services

	x.members = newPairTable(bySrc.inLong())
	bySrc.eachLong(func(node, set uint32) { x.members.insert(node, set, 0) })
	x.bySet = newPairTable(byDst.inLong())
	byDst.eachLong(func(node uint32, g grant) { x.bySet.insert(node, g.set, g.service) })

	x.dense = newDense(denseBuild{
		srcs:     newSide(srcTree, bySrc, x.srcNodes),
		dsts:     newSide(dstTree, byDst, x.dstNodes),
		ruleDsts: ruleDsts,
		services: services.services,
		sets:     len(sets.sets),
		cost:     cost,
		apart:    apart,
	})
	return x
}

// ruleDst is a destination of a rule, or of several rules with the same sources. All
// three are numbers.
type ruleDst struct {
	dst, set, service uint32
}

// lists holds the lists of nodes, one after the other.
type lists[T any] struct {
	at    []uint32 // the list of node i is items[at[i]:at[i+1]]
	items []T
}

func (l *lists[T]) of(node uint32) []T { return l.items[l.at[node]:l.at[node+1]] }

// inLong returns the number of items in long lists.
func (l *lists[T]) inLong() (n int) {
	l.eachLong(func(uint32, T) { n++ })
	return n
}

func (l *lists[T]) eachLong(f func(node uint32, item T)) {
	for node := range uint32(len(l.at) - 1) {
		if list := l.of(node); len(list) > shortList {
			for _, item := range list {
				f(node, item)
			}
		}
	}
}

// grantsOf returns the grants of each destination: for each set one, of all that it may
// reach there. It sorts ruleDsts.
func grantsOf(ruleDsts []ruleDst, nodes int, services *serviceTable) lists[grant] {
	slices.SortFunc(ruleDsts, func(a, b ruleDst) int {
		return cmp.Or(cmp.Compare(a.dst, b.dst), cmp.Compare(a.set, b.set), cmp.Compare(a.service, b.service))
	})
	l := lists[grant]{at: make([]uint32, nodes+1), items: make([]grant, 0, len(ruleDsts))}
	for len(ruleDsts) > 0 {
		first, n := ruleDsts[0], 1
		for n < len(ruleDsts) && ruleDsts[n].dst == first.dst && ruleDsts[n].set == first.set {
			n++
		}
		l.items = append(l.items, grant{first.set, services.union(ruleDsts[:n])})
		l.at[first.dst+1] = uint32(len(l.items))
		ruleDsts = ruleDsts[n:]
	}
	return l
}

// flatten makes nodes of lists. A node includes the list of the next wider prefix if
// both together are short, and refers to it otherwise.
func flatten[T any](t tree, l lists[T]) ([]node[T], []T) {
	nodes, total := make([]node[T], len(t.order)), uint32(0)
	for _, n := range t.order {
		up := t.up[n]
		nodes[n] = node[T]{n: uint32(len(l.of(n))), up: up}
		if up != none && nodes[n].n+nodes[up].n <= flatList {
			nodes[n].n += nodes[up].n
		}
		total += nodes[n].n
	}
	items := make([]T, 0, total)
	for _, n := range t.order {
		this := &nodes[n]
		this.at = uint32(len(items))
		items = append(items, l.of(n)...)
		if uint32(len(l.of(n))) < this.n {
			wider := &nodes[this.up]
			items = append(items, wider.list(items)...)
			this.up = wider.up
		}
		if this.n == 1 {
			this.only[0] = items[this.at]
			items = items[:this.at]
		}
	}
	return nodes, items
}

// setTable numbers sets of prefixes. Equal sets have one number, unless apart is set.
type setTable struct {
	prefixes *addrTable
	single   []uint32          // by the number of a prefix: the set of it alone, or none
	byHash   map[uint64]uint32 // the last set with that hash
	sets     []prefixSetOf
	members  []uint32 // of all sets, in ascending order for each
	apart    bool     // equal sets have numbers of their own
}

// prefixSetOf is one set of a setTable.
type prefixSetOf struct {
	at, n uint32 // in members
	same  uint32 // another set with the same hash, or none
}

// number returns the number of the set of the prefixes.
func (t *setTable) number(prefixes []netip.Prefix) uint32 {
	at := len(t.members)
	for _, p := range prefixes {
		n, fresh := t.prefixes.add(p.Masked())
		if fresh {
			t.single = append(t.single, none)
		}
		t.members = append(t.members, n)
	}
	list := t.members[at:]
	if len(list) > 1 {
		slices.Sort(list)
		list = slices.Compact(list)
	}
	if t.apart {
		return t.add(at, len(list), none)
	}
	if len(list) == 1 {
		return t.numberSingle(at)
	}
	return t.numberMany(at, list)
}

// numberSingle returns the number of the set of the one prefix at t.members[at].
func (t *setTable) numberSingle(at int) uint32 {
	known := &t.single[t.members[at]]
	if *known == none {
		*known = t.add(at, 1, none)
	} else {
		t.members = t.members[:at]
	}
	return *known
}

func (t *setTable) numberMany(at int, list []uint32) uint32 {
	h := uint64(len(list))
	for _, n := range list {
		h = mix(h ^ uint64(n))
	}
	same, ok := t.byHash[h]
	if !ok {
		same = none
	}
	for n := same; n != none; n = t.sets[n].same {
		if slices.Equal(t.of(n), list) {
			t.members = t.members[:at]
			return n
		}
	}
	if t.byHash == nil {
		t.byHash = make(map[uint64]uint32)
	}
	n := t.add(at, len(list), same)
	t.byHash[h] = n
	return n
}

// add makes a set of the n members from at on and returns its number. same is another
// set with the same hash, or none.
func (t *setTable) add(at, n int, same uint32) uint32 {
	t.members = t.members[:at+n]
	t.sets = append(t.sets, prefixSetOf{at: uint32(at), n: uint32(n), same: same})
	return uint32(len(t.sets) - 1)
}

func (t *setTable) of(set uint32) []uint32 {
	s := t.sets[set]
	return t.members[s.at : s.at+s.n]
}

// byPrefix returns for each prefix the sets that have it.
func (t *setTable) byPrefix() lists[uint32] {
	l := lists[uint32]{at: make([]uint32, t.prefixes.size+1), items: make([]uint32, len(t.members))}
	for _, n := range t.members {
		l.at[n+1]++
	}
	for i := range t.prefixes.size {
		l.at[i+1] += l.at[i]
	}
	next := slices.Clone(l.at)
	for set := range uint32(len(t.sets)) {
		for _, n := range t.of(set) {
			l.items[next[n]] = set
			next[n]++
		}
	}
	return l
}
