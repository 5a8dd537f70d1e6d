package policy

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Names tells which of a policy's names stands for an address. It never
// changes and is safe for concurrent use. The zero value knows none.
type Names struct {
	byPrefix map[netip.Prefix]string
	lengths  [2][]int // of the prefixes by IP version, the longest first
}

// Names returns the names of hosts and groups by address. Of several names for
// one prefix it knows a host's before a group's, then one that is preferred,
// then the one that stands for the fewest addresses, then the first in the
// alphabet.
func (p *Policy) Names(prefer ...string) Names {
	n := Names{byPrefix: make(map[netip.Prefix]string)}
	if p.names == nil {
		return n
	}
	for _, name := range p.namesInOrder(prefer) {
		for _, prefix := range p.names.prefixes[name] {
			if _, known := n.byPrefix[prefix]; known {
				continue
			}
			n.byPrefix[prefix] = name
			if v := version(prefix); !slices.Contains(n.lengths[v], prefix.Bits()) {
				n.lengths[v] = append(n.lengths[v], prefix.Bits())
			}
		}
	}
	for _, lengths := range n.lengths {
		slices.SortFunc(lengths, func(a, b int) int { return b - a })
	}
	return n
}

// namesInOrder returns the names, those to take first in front.
func (p *Policy) namesInOrder(prefer []string) []string {
	sizes := make(map[string]uint64, len(p.names.prefixes))
	for name, prefixes := range p.names.prefixes {
		for _, prefix := range prefixes {
			sizes[name] += addressesIn(prefix)
		}
	}
	return slices.SortedFunc(maps.Keys(p.names.prefixes), func(a, b string) int {
		return cmp.Or(
			falseFirst(p.groups[a], p.groups[b]),
			falseFirst(!slices.Contains(prefer, a), !slices.Contains(prefer, b)),
			cmp.Compare(sizes[a], sizes[b]),
			cmp.Compare(a, b))
	})
}

// addressesIn returns the number of addresses in p, or 1<<32 if that is less.
func addressesIn(p netip.Prefix) uint64 { return 1 << min(p.Addr().BitLen()-p.Bits(), 32) }

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// Of returns the name that stands for a: the one with the longest prefix that
// holds it. ok is false if there is none.
func (n Names) Of(a netip.Addr) (name string, ok bool) {
	if !a.IsValid() {
		return "", false
	}
	for _, bits := range n.lengths[version(netip.PrefixFrom(a, 0))] {
		prefix, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if name, ok := n.byPrefix[prefix]; ok {
			return name, true
		}
	}
	return "", false
}

// Named returns the names of hosts and groups, in the order of the alphabet.
func (p *Policy) Named() []string {
	if p.names == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(p.names.prefixes))
}

// Hosts returns the names of hosts by each single address that they have. Of
// several hosts with one address it is the first in the alphabet.
func (p *Policy) Hosts() map[netip.Addr]string {
	hosts := make(map[netip.Addr]string)
	if p.names == nil {
		return hosts
	}
	for _, name := range slices.Sorted(maps.Keys(p.names.prefixes)) {
		for _, prefix := range p.names.prefixes[name] {
			if _, known := hosts[prefix.Addr()]; !known && prefix.IsSingleIP() && !p.groups[name] {
				hosts[prefix.Addr()] = name
			}
		}
	}
	return hosts
}
