package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tstun/filter"
)

// exception is the "except" of a rule.
type exception struct {
	whole filter.Match // the rule as it would be without
	nets  []netip.Prefix
}

// leaveOut takes the addresses of the excepts out of all destinations. It notes
// those that were in none, and reports whether there was room for the rest.
func (r *reader) leaveOut(excepts []item, dsts []destination) bool {
	nets := joinNets(excepts)
	var all []netip.Prefix
	for i := range dsts {
		all = append(all, dsts[i].nets...)
		dsts[i].nets = without(dsts[i].nets, nets)
		if !r.room(dsts[i].v, len(dsts[i].nets)*len(dsts[i].ports)) {
			return false
		}
	}
	for _, e := range excepts {
		if !meet(e.nets, all) {
			r.notef(e.v, "takes nothing away: it is in no destination")
		}
	}
	return true
}

// without returns what is in all and not in some.
func without(all, some []netip.Prefix) (left []netip.Prefix) {
	if !meet(all, some) {
		return all
	}
	for v := range 2 {
		sp := space{version: v}
		left = append(left, prefixesOf(difference(sp.spans(all), sp.spans(some)), v)...)
	}
	return left
}

// meet reports whether any address is in both.
func meet(a, b []netip.Prefix) bool {
	for v := range 2 {
		sp := space{version: v}
		if overlap(sp.spans(a), sp.spans(b)) {
			return true
		}
	}
	return false
}

// holds reports whether any of the prefixes holds a.
func holds(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Explain is f.ExplainNew, of a filter of p's Config. It also knows what the rules
// of the file except.
func (p *Policy) Explain(f *filter.Filter, d filter.Direction, flow Flow) filter.Explanation {
	e := f.ExplainNew(d, netip.AddrPortFrom(flow.Src, 0), flow.Dst, flow.Proto)
	if x := p.excepts[e.Rule]; x != nil {
		e.Text = x.String()
		return e
	}
	if e.Reason != filter.ReasonNoRule {
		return e
	}
	for i := range p.matches {
		if x := p.excepts[i]; x != nil && x.takes(flow) {
			e.Nearest = filter.Nearest{Rule: i, Text: x.String(), Why: exceptedIn(flow)} // the rule lacks nothing
			return e
		}
	}
	return e
}

// exceptedIn says why a rule that lacks nothing does not allow the flow.
func exceptedIn(flow Flow) string { return fmt.Sprintf(`%v is in its "except"`, flow.Dst.Addr()) }

// String returns the rule in the filter's words, and what it excepts.
func (x *exception) String() string {
	nets := make([]string, len(x.nets))
	for i, n := range x.nets {
		nets[i] = n.String()
	}
	return x.whole.String() + " except " + strings.Join(nets, ", ")
}

// takes reports whether the rule would allow the flow but for the exception.
func (x *exception) takes(flow Flow) bool {
	m := &x.whole
	protos := m.IPProto
	if len(protos) == 0 {
		protos = defaultProtocols
	}
	return holds(x.nets, flow.Dst.Addr()) && slices.Contains(protos, flow.Proto) && holds(m.Srcs, flow.Src) &&
		slices.ContainsFunc(m.Dsts, func(d filter.NetPortRange) bool {
			return d.Net.Contains(flow.Dst.Addr()) &&
				(!flow.Proto.HasPorts() || d.Ports.First <= flow.Dst.Port() && flow.Dst.Port() <= d.Ports.Last)
		})
}
