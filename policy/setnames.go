package policy

import (
	"cmp"
	"maps"
	"slices"
)

// setNames finds what sets of addresses of one IP version are called.
type setNames struct {
	version int
	work    *work
	blocked []span // what no flow has, so that it does not matter whether it is in a set
	names   []namedSpans
}

// namedSpans is what a name stands for.
type namedSpans struct {
	name  string
	group bool
	spans []span // of the version, normal, at least one
	both  bool   // it stands for addresses of the other version, too
}

// newSetNames returns what knows the names of next, and those of old that next
// does not have.
func newSetNames(version int, old, next *Policy, w *work) *setNames {
	n := &setNames{version: version, work: w, blocked: space{version, next.permit}.blocked(asSrc)}
	known := make(map[string]bool)
	for _, p := range []*Policy{next, old} {
		if p.names == nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(p.names.prefixes)) {
			if known[name] {
				continue
			}
			known[name] = true
			prefixes := p.names.prefixes[name]
			if spans := (space{version: version}).spans(prefixes); len(spans) > 0 {
				other := space{version: 1 - version}.spans(prefixes)
				n.names = append(n.names, namedSpans{name, p.groups[name], spans, len(other) > 0})
			}
		}
	}
	slices.SortStableFunc(n.names, func(a, b namedSpans) int {
		return cmp.Or(cmp.Compare(size(b.spans), size(a.spans)), falseFirst(a.group, b.group), cmp.Compare(a.name, b.name))
	})
	return n
}

// label returns the sets with their names. whole is what they are cut out of. The
// sets do not overlap. first are those of the other IP version: a set that is just
// what names of one of these stand for is called the same.
func (n *setNames) label(sets [][]span, whole []span, first []Set) ([]Set, error) {
	candidates, err := n.candidates(sets)
	if err != nil {
		return nil, err
	}
	known := n.namesOf(first)
	labels := make([]Set, len(sets))
	for i, set := range sets {
		l := Set{Ranges: rangesOf(set, n.version)}
		if l.Names = known[string(appendSpans(nil, set))]; l.Names != nil {
			labels[i] = l
			continue
		}
		left := set
		both := false
		for _, c := range candidates[i] {
			if !n.work.take(1 + len(left)/8) {
				return nil, ErrTooLarge
			}
			if overlap(c.spans, left) {
				l.Names = append(l.Names, c.name)
				left = difference(left, c.spans)
				both = both || c.both
			}
		}
		slices.Sort(l.Names)
		if both {
			l.IPVersion = 4 + 2*n.version
		}
		l.Unnamed = rangesOf(left, n.version)
		labels[i] = l
	}
	if i := n.others(sets, whole); i >= 0 {
		labels[i].Others, labels[i].Names, labels[i].Unnamed = true, nil, nil
		labels[i].IPVersion = 4 + 2*n.version
	}
	return labels, nil
}

// namesOf returns the names of sets by what these stand for in n's version.
func (n *setNames) namesOf(sets []Set) map[string][]string {
	spans := make(map[string][]span, len(n.names))
	for _, name := range n.names {
		spans[name.name] = name.spans
	}
	known := make(map[string][]string)
	for _, s := range sets {
		var all []span
		for _, name := range s.Names {
			all = append(all, spans[name]...)
		}
		if len(all) > 0 && len(s.Unnamed) == 0 {
			known[string(appendSpans(nil, normal(all)))] = s.Names
		}
	}
	return known
}

// candidates returns the names that are in each set, the largest first. A name
// is in no other set than that of its first address.
func (n *setNames) candidates(sets [][]span) ([][]namedSpans, error) {
	type place struct {
		span
		set int
	}
	var places []place
	for i, set := range sets {
		for _, s := range set {
			places = append(places, place{s, i})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return a.first.compare(b.first) })
	in := make([][]namedSpans, len(sets))
	for _, name := range n.names {
		if !n.work.take(1 + len(name.spans)) {
			return nil, ErrTooLarge
		}
		at, _ := slices.BinarySearchFunc(places, name.spans[0].first, func(p place, first point) int { return p.last.compare(first) })
		if at < len(places) && subset(name.spans, sets[places[at].set]) {
			in[places[at].set] = append(in[places[at].set], name)
		}
	}
	return in, nil
}

// others returns the index of the set that reaches from the first address to the
// last, if the sets are all that there is, or -1.
func (n *setNames) others(sets [][]span, whole []span) int {
	all := slices.Clone(n.blocked)
	for _, set := range sets {
		all = append(all, set...)
	}
	every := space{version: n.version}.spans(everywhere())
	if !subset(every, normal(all)) || !subset(every, normal(slices.Concat(whole, n.blocked))) {
		return -1
	}
	return slices.IndexFunc(sets, func(set []span) bool {
		return set[0].first == every[0].first && set[len(set)-1].last == every[0].last
	})
}
