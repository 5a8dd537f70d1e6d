package filter

import (
	"net/netip"

	"tstun/ipproto"
)

// index decides by a few look-ups whether the rules allow a new flow:
//
//	source ── addrTable ── node: sets that contain it ────────┐
//	                                                          ├─ a set in both: is the service allowed?
//	destination ── addrTable ── node: sets that may reach it ─┘
//
// A source set is the Srcs of one rule, or of several rules with the same Srcs. A
// destination's node has a service, protocols and ports, for each set that may reach
// it. So the index grows with the text of the rules and not with sources ×
// destinations. A decision intersects two short lists, or looks the items of the
// shorter one up in the longer.
//
// A node refers to the node of the next wider prefix. Short lists are copied down from
// there, so mostly one node has all items for an address.
//
// Where many rules name both addresses, the lists are long, or many, and walking them
// takes time in proportion to the product of the two sides: there the bitmaps of dense
// are read instead. If there are few rules, they are scanned.
//
// An index never changes. It decides as the scan of the rules does.
type index struct {
	srcs, dsts addrTable
	srcNodes   []node[uint32] // by the numbers that srcs gives
	dstNodes   []node[grant]
	sets       []uint32  // of srcNodes
	marks      []uint64  // of srcNodes: bit set%64 for each set of the list
	grants     []grant   // of dstNodes
	services   []service // by number
	bySet      pairTable // (destination's node, set) → number of the service, for long lists
	members    pairTable // (source's node, set) → 0, for long lists
	dense      *dense    // for addresses with long lists; nil: there are none
	short      scan      // rules so few that scanning them is quicker; nil: the rest is used
}

// node has the list of one prefix: of sets, or of grants.
type node[T any] struct {
	only  [1]T   // the list if n is 1, which saves a read elsewhere
	at, n uint32 // otherwise the list is the n items from at on among all
	up    uint32 // the node of the next wider prefix whose items the list lacks, or none
}

// list returns the list of n. all has the lists of all nodes.
func (n *node[T]) list(all []T) []T {
	if n.n == 1 {
		return n.only[:]
	}
	return all[n.at : n.at+n.n]
}

// grant says which service one source set may reach at a destination.
type grant struct {
	set, service uint32
}

const (
	// shortList is the length up to which lists are walked. Longer ones are
	// looked up by hash.
	shortList = 32
	// flatList is the length up to which a list includes those of wider
	// prefixes. More would cost memory for each narrow prefix in a wide one.
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

// walk reports whether the lists of the prefixes s and d, and of the wider ones, allow
// the service.
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

// firstLookups returns how many look-ups are made before bitmaps are read, which take
// as long as limit look-ups. They are few, since on a refusal they are in vain. They are
// worth while, since most flows that many rules allow are allowed by the first ones.
func firstLookups(limit uint32) int { return 2 + int(limit/8) }

// walkFirst reports whether the first left look-ups of the walk find that the service is
// allowed.
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

// intersects reports whether a set of the source's node s has a grant at the
// destination's node d that covers the service.
func (x *index) intersects(s, d uint32, proto ipproto.Proto, port uint16) bool {
	sets, grants := x.srcNodes[s].list(x.sets), x.dstNodes[d].list(x.grants)
	switch {
	case len(sets) <= shortList && len(grants) <= shortList:
		return x.intersectsShort(x.marks[s], sets, grants, proto, port)
	case len(sets) <= len(grants): // grants is long
		for _, set := range sets {
			if service, ok := x.bySet.find(d, set); ok && x.services[service].covers(proto, port) {
				return true
			}
		}
	default: // sets is long
		for _, g := range grants {
			if _, ok := x.members.find(s, g.set); ok && x.services[g.service].covers(proto, port) {
				return true
			}
		}
	}
	return false
}

// intersectsShort reports whether one of the sets has a grant that covers the service.
// The marks of the sets rule most grants out.
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
