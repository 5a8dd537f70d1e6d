package filter

import (
	"math/bits"
	"net/netip"

	"tstun/ipproto"
)

// ruleIndex is an index that tells which rule allows a flow: the first one, as the scan
// of the rules does. In it each rule is a set of its own, with the rule's number. So
// rules with the same sources share nothing, and it may be larger than the index that
// packets are judged by.
type ruleIndex struct{ index }

// newRuleIndex returns the ruleIndex of valid rules.
func newRuleIndex(rules scan) *ruleIndex {
	if rules.isShort() {
		return &ruleIndex{index{short: rules}}
	}
	return buildRuleIndex(rules, readCost)
}

// buildRuleIndex is buildIndex.
func buildRuleIndex(rules scan, cost func(words int) uint32) *ruleIndex {
	x := new(ruleIndex)
	x.build(rules, cost, true)
	return x
}

// first returns the number of the first rule that lets src open a flow of proto to dst
// and port, or noRule.
func (x *ruleIndex) first(proto ipproto.Proto, src, dst netip.Addr, port uint16) int {
	if x.short != nil {
		return x.short.match(proto, src, dst, port)
	}
	s, d := x.srcs.find(src), x.dsts.find(dst)
	if s == none || d == none {
		return noRule
	}
	if x.dense != nil {
		if from, to, ok := x.dense.prefixes(s, d); ok {
			return x.dense.firstSet(from, to, proto, port)
		}
	}
	least := none
	for ; d != none; d = x.dstNodes[d].up {
		for s := s; s != none; s = x.srcNodes[s].up {
			least = x.leastSet(least, s, d, proto, port)
		}
	}
	if least == none {
		return noRule
	}
	return int(least)
}

// leastSet returns the least set of the source's node s that has a grant at the
// destination's node d for the service, if it is less than least, or else least.
func (x *ruleIndex) leastSet(least, s, d uint32, proto ipproto.Proto, port uint16) uint32 {
	sets, grants := x.srcNodes[s].list(x.sets), x.dstNodes[d].list(x.grants)
	if len(grants) > shortList && len(sets) <= len(grants) {
		for _, set := range sets {
			if set >= least {
				continue
			}
			if service, ok := x.bySet.find(d, set); ok && x.services[service].covers(proto, port) {
				least = set
			}
		}
		return least
	}
	for _, g := range grants {
		if g.set < least && x.has(s, g.set) && x.services[g.service].covers(proto, port) {
			least = g.set
		}
	}
	return least
}

// has reports whether the source's node s has the set.
func (x *ruleIndex) has(s, set uint32) bool {
	if x.marks[s]>>(set%64)&1 == 0 {
		return false
	}
	sets := x.srcNodes[s].list(x.sets)
	if len(sets) > shortList {
		_, ok := x.members.find(s, set)
		return ok
	}
	for _, other := range sets {
		if other == set {
			return true
		}
	}
	return false
}

// firstSet returns the first set of a unit that has the source, the destination and the
// service, or noRule. Units are in the order of their sets.
func (x *dense) firstSet(src, dst *densePrefix, proto ipproto.Proto, port uint16) int {
	q, ok := x.query(src, dst, proto, port)
	if !ok {
		return noRule
	}
	var from, to, on [blockWords]uint64
	n := min(x.words, blockWords)
	first := x.intersectAll(q, from[:n], to[:n], on[:n])
	if first < 0 {
		return noRule
	}
	return int(x.setOf[64*first+lowestCommon(from[:n], to[:n], on[:n])])
}

// lowestCommon returns the lowest bit that the three bitmaps, which intersect, have in
// common.
func lowestCommon(a, b, c []uint64) int {
	for i := 0; ; i++ {
		if w := a[i] & b[i] & c[i]; w != 0 {
			return 64*i + bits.TrailingZeros64(w)
		}
	}
}
