package policy

import (
	"cmp"
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
// one prefix it knows a host's before a group's, then the one that stands for
// the fewest addresses, then the first in the alphabet.
func (p *Policy) Names() Names {
	n := Names{byPrefix: make(map[netip.Prefix]string)}
	for _, name := range p.namesInOrder() {
		for _, prefix := range p.names[name] {
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

// namesInOrder returns the names, those to prefer first.
func (p *Policy) namesInOrder() []string {
	type named struct {
		name  string
		group bool
		size  uint64
	}
	all := make([]named, 0, len(p.names))
	for name, prefixes := range p.names {
		n := named{name: name, group: p.groups[name]}
		for _, prefix := range prefixes {
			n.size += size(prefix)
		}
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b named) int {
		switch {
		case a.group != b.group && a.group:
			return 1
		case a.group != b.group:
			return -1
		}
		return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.name, b.name))
	})
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = n.name
	}
	return names
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
