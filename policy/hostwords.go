package policy

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"tstun/filter"
	"tstun/ipproto"
)

// hostWords finds the words of a file for single addresses.
type hostWords struct {
	byAddr map[netip.Addr]string
	addrs  map[string][]netip.Prefix // by word: a host's name, or an address
	groups []groupWord               // the largest first
}

// groupWord is a group all of whose addresses are single ones.
type groupWord struct {
	name  string
	addrs []netip.Prefix
}

// newHostWords knows the hosts of the policy that have nothing but single addresses.
// Of several with one address, it takes that with the fewest, then the first in the
// alphabet.
func newHostWords(p *Policy) *hostWords {
	h := &hostWords{byAddr: make(map[netip.Addr]string), addrs: make(map[string][]netip.Prefix)}
	names := slices.SortedFunc(maps.Keys(p.names.prefixes), func(a, b string) int {
		return cmp.Or(len(p.names.prefixes[a])-len(p.names.prefixes[b]), cmp.Compare(a, b))
	})
	for _, name := range names {
		all := p.names.prefixes[name]
		if len(all) == 0 || slices.ContainsFunc(all, func(p netip.Prefix) bool { return !p.IsSingleIP() }) {
			continue
		}
		if p.groups[name] {
			h.groups = append(h.groups, groupWord{name, all})
			continue
		}
		h.addrs[name] = all
		for _, a := range all {
			if _, known := h.byAddr[a.Addr()]; !known {
				h.byAddr[a.Addr()] = name
			}
		}
	}
	slices.Reverse(h.groups)
	return h
}

// of returns the word for an address.
func (h *hostWords) of(a netip.Addr) string {
	if name, ok := h.byAddr[a]; ok {
		return name
	}
	return h.literal(a)
}

// literal returns the address as a word.
func (h *hostWords) literal(a netip.Addr) string {
	word := a.String()
	if h.addrs[word] == nil {
		h.addrs[word] = []netip.Prefix{singleIP(a)}
	}
	return word
}

// join puts groups in the place of words that are all of their addresses. It returns
// the words in order: names, then addresses.
func (h *hostWords) join(words []string) []string {
	have := make(map[netip.Prefix]bool)
	for _, w := range words {
		for _, a := range h.addrs[w] {
			have[a] = true
		}
	}
	var joined []string
	done := make(map[netip.Prefix]bool)
	if len(words) > 1 {
		for _, g := range h.groups {
			fresh := 0
			for _, a := range g.addrs {
				if !have[a] {
					fresh = -1
					break
				}
				if !done[a] {
					fresh++
				}
			}
			if fresh > 1 {
				joined = append(joined, g.name)
				for _, a := range g.addrs {
					done[a] = true
				}
			}
		}
	}
	for _, w := range words {
		if slices.ContainsFunc(h.addrs[w], func(a netip.Prefix) bool { return !done[a] }) {
			joined = append(joined, w)
		}
	}
	slices.SortFunc(joined, func(a, b string) int {
		x, errA := netip.ParseAddr(a)
		y, errB := netip.ParseAddr(b)
		return cmp.Or(falseFirst(errA == nil, errB == nil), x.Compare(y), cmp.Compare(a, b))
	})
	return joined
}

func singleIP(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// withoutPort returns the destination of a flow, with port 0 if the protocol has none.
func withoutPort(f Flow) netip.AddrPort {
	if f.Proto.HasPorts() {
		return netip.AddrPortFrom(f.Dst.Addr().WithZone(""), f.Dst.Port())
	}
	return netip.AddrPortFrom(f.Dst.Addr().WithZone(""), 0)
}

// protosOfFlow returns the protocols that a rule for a flow names: both of ICMP
// together.
func protosOfFlow(f Flow) []ipproto.Proto {
	if f.Proto.IsICMP() {
		return []ipproto.Proto{ipproto.ICMPv4, ipproto.ICMPv6}
	}
	return []ipproto.Proto{f.Proto}
}

// meets reports whether any of the flows from src to dst in an IP version are the
// test's. The lists are normal.
func (t *expectation) meets(v int, src, dst, protos, ports []span) bool {
	f := &t.flows.versions[v]
	if !overlap(src, f.src) || !overlap(dst, f.dst) {
		return false
	}
	for _, p := range f.protos {
		if (v == 0 && p == ipproto.ICMPv6) || (v == 1 && p == ipproto.ICMPv4) {
			continue
		}
		if inside(protoSpans([]ipproto.Proto{p})[0], protos) && (!p.HasPorts() || overlap(ports, f.ports)) {
			return true
		}
	}
	return false
}

// portsIn returns sorted ports as ranges.
func portsIn(ports []uint16) []filter.PortRange {
	all := make([]filter.PortRange, len(ports))
	for i, p := range ports {
		all[i] = filter.PortRange{First: p, Last: p}
	}
	if len(all) == 0 {
		return nil
	}
	return joinPorts(all)
}
