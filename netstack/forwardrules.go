package netstack

import (
	"net/netip"
	"slices"
	"sort"

	"tstun/filter"
	"tstun/internal/lpm"
)

// forwardRules finds the first rule for a packet. A look-up takes as long
// however many rules there are: one in a trie, and a binary search.
type forwardRules struct {
	rules []ForwardRule
	table lpm.Table[*services]
}

// services are the ports of the addresses whose longest prefix is one.
type services struct {
	tcp, udp []span
}

// span is a range of ports and the first rule for it.
type span struct {
	filter.PortRange
	rule int
}

func newForwardRules(rules []ForwardRule) *forwardRules {
	var of lpm.Table[[]int] // the rules that name a prefix
	for i, r := range rules {
		for _, p := range r.Prefixes {
			have, _ := of.Get(p)
			of.Insert(p, append(have, i))
		}
	}
	f := &forwardRules{rules: slices.Clone(rules)}
	for p := range of.All() {
		var covering []int
		for _, some := range of.Supernets(p) {
			covering = append(covering, some...)
		}
		slices.Sort(covering)
		covering = slices.Compact(covering)
		f.table.Insert(p, &services{
			tcp: f.spans(covering, func(r *ForwardRule) bool { return r.TCP != nil }),
			udp: f.spans(covering, func(r *ForwardRule) bool { return r.UDP != nil }),
		})
	}
	return f
}

// spans returns the ports of those of the rules that count, in order and apart.
func (f *forwardRules) spans(covering []int, counts func(*ForwardRule) bool) []span {
	var edges []int // where a range begins, or the port behind one
	for _, i := range covering {
		for _, p := range f.rules[i].ports() {
			edges = append(edges, int(p.First), int(p.Last)+1)
		}
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	var all []span
	for k := 0; k+1 < len(edges); k++ {
		at := filter.PortRange{First: uint16(edges[k]), Last: uint16(edges[k+1] - 1)}
		for _, i := range covering {
			if r := &f.rules[i]; counts(r) && r.covers(at.First) {
				all = append(all, span{at, i})
				break
			}
		}
	}
	return all
}

var allPorts = []filter.PortRange{filter.AllPorts}

func (r *ForwardRule) ports() []filter.PortRange {
	if len(r.Ports) == 0 {
		return allPorts
	}
	return r.Ports
}

func (r *ForwardRule) covers(port uint16) bool {
	for _, p := range r.ports() {
		if p.First <= port && port <= p.Last {
			return true
		}
	}
	return false
}

// find returns the first of the spans' rules for the port, or nil.
func (f *forwardRules) find(spans []span, port uint16) *ForwardRule {
	i := sort.Search(len(spans), func(i int) bool { return port <= spans[i].Last })
	if i == len(spans) || port < spans[i].First {
		return nil
	}
	return &f.rules[spans[i].rule]
}

// tcp and udp return the rule for a destination, or nil.
func (f *forwardRules) tcp(to netip.AddrPort) *ForwardRule {
	s, ok := f.table.Lookup(to.Addr())
	if !ok {
		return nil
	}
	return f.find(s.tcp, to.Port())
}

func (f *forwardRules) udp(to netip.AddrPort) *ForwardRule {
	s, ok := f.table.Lookup(to.Addr())
	if !ok {
		return nil
	}
	return f.find(s.udp, to.Port())
}
