package filter

import (
	"net/netip"

	"tstun/ipproto"
)

// index decides whether the rules allow a new flow by a few look-ups:
//
//	source ── addrTable ── node: which source sets hold it ─┐
//	                                                        ├─ a set in both: is the service right?
//	destination ── addrTable ── node: which sets may come ──┘
//
// A source set is the Srcs of one rule, or of several rules that have the
// same. A destination's node has, for each set that may come, the service:
// protocols and ports. So the index grows with the text of the rules and not
// with sources × destinations, and a decision meets two short lists, or looks
// the shorter one up in the longer.
//
// A node knows the node of the next wider prefix. Short lists are copied down
// from there, so that mostly one node holds all that concerns an address.
//
// Where many rules name both addresses, the lists are long, or many, and to
// walk them would take the product of the two sides: there the bitmaps of
// dense are read instead. Where there are few rules, they are scanned.
//
// An index never changes. It says what the plain scan of the rules says.
type index struct {
	srcs, dsts addrTable
	srcNodes   []node[uint32] // by the numbers that srcs gives
	dstNodes   []node[grant]
	sets       []uint32  // of srcNodes
	marks      []uint64  // of srcNodes: bit set%64 for each set of the list
	grants     []grant   // of dstNodes
	services   []service // by number
	bySet      pairTable // (destination's node, set) → number of the service, for long lists
	members    pairTable // (source's node, set) → nothing of interest, for long lists
	dense      *dense    // for addresses with more in their lists than is walked; nil: there are none
	short      scan      // instead of all this, so few rules that to scan them is quicker
}

// node is the list of what is said of one prefix.
type node[T any] struct {
	only  [1]T   // the list if n is 1: it saves a look at memory elsewhere
	at, n uint32 // otherwise the list is at that place among all
	up    uint32 // the node of the next wider prefix that the list does not cover, or none
}

// list returns the node's list, which is in all if it is longer than one.
func (n *node[T]) list(all []T) []T {
	if n.n == 1 {
		return n.only[:]
	}
	return all[n.at : n.at+n.n]
}

// grant is what one source set may reach at a destination.
type grant struct {
	set, service uint32
}

const (
	// shortList is the length up to which lists are walked. Longer ones can
	// be asked for a set by hash.
	shortList = 32
	// flatList is the length up to which a list takes in those of wider
	// prefixes: more would cost memory for each narrow prefix in a wide one.
	flatList = 16
)

// allows reports whether a rule lets src open a flow of proto to dst and port.
func (x *index) allows(proto ipproto.Proto, src, dst netip.Addr, port uint16) bool {
	if x.short != nil {
		return x.short.match(proto, src, dst, port) != noRule
	}
	s := x.srcs.find(src)
	if s == none {
		return false
	}
	d := x.dsts.find(dst)
	if d == none {
		return false
	}
	if x.dense != nil {
		if from, to, ok := x.dense.prefixes(s, d); ok {
			return x.walkFirst(s, d, proto, port, firstLookups(x.dense.limit)) || x.dense.allows(from, to, proto, port)
		}
	}
	return x.walk(s, d, proto, port)
}

// walk is allows for an address in prefix s to one in prefix d.
func (x *index) walk(s, d uint32, proto ipproto.Proto, port uint16) bool {
	for ; d != none; d = x.dstNodes[d].up {
		for s := s; s != none; s = x.srcNodes[s].up {
			if x.intersects(s, d, proto, port) {
				return true
			}
		}
	}
	return false
}

// glances returns how many look-ups are made before bitmaps are read, if those
// take as long as limit look-ups: few, since they are lost on a refusal, but
// most flows that are allowed by many rules are allowed by the first ones.
func firstLookups(limit uint32) int { return 2 + int(limit/8) }

// glance is walk with no more than left look-ups. It need not find what is
// there.
func (x *index) walkFirst(s, d uint32, proto ipproto.Proto, port uint16, left int) bool {
	for ; d != none; d = x.dstNodes[d].up {
		for s := s; s != none; s = x.srcNodes[s].up {
			sets := x.srcNodes[s].list(x.sets)
			for _, set := range sets[:min(left, len(sets))] {
				if service, ok := x.grant(d, set); ok && x.services[service].covers(proto, port) {
					return true
				}
			}
			if left -= len(sets); left <= 0 {
				return false
			}
		}
	}
	return false
}

// grant returns the service that a set may reach at the destination's node d.
func (x *index) grant(d, set uint32) (service uint32, ok bool) {
	grants := x.dstNodes[d].list(x.grants)
	if len(grants) > shortList {
		return x.bySet.find(d, set)
	}
	for _, g := range grants {
		if g.set == set {
			return g.service, true
		}
	}
	return 0, false
}

// meet reports whether a set of the source's node s has a grant at the
// destination's node d that covers the service.
func (x *index) intersects(s, d uint32, proto ipproto.Proto, port uint16) bool {
	sets, grants := x.srcNodes[s].list(x.sets), x.dstNodes[d].list(x.grants)
	switch {
	case len(sets) <= shortList && len(grants) <= shortList:
		return x.intersectsShort(x.marks[s], sets, grants, proto, port)
	case len(sets) <= len(grants): // so grants are long
		for _, set := range sets {
			if service, ok := x.bySet.find(d, set); ok && x.services[service].covers(proto, port) {
				return true
			}
		}
	default: // sets are long
		for _, g := range grants {
			if _, ok := x.members.find(s, g.set); ok && x.services[g.service].covers(proto, port) {
				return true
			}
		}
	}
	return false
}

// meetShort looks each grant's set up in the list of sets, unless the marks
// say that it cannot be there.
func (x *index) intersectsShort(marks uint64, sets []uint32, grants []grant, proto ipproto.Proto, port uint16) bool {
	for _, g := range grants {
		if marks>>(g.set%64)&1 == 0 {
			continue
		}
		for _, set := range sets {
			if set == g.set && x.services[g.service].covers(proto, port) {
				return true
			}
		}
	}
	return false
}
