package filter

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"tstun/ipproto"
)

// String returns the rule in the form
// "tcp from 100.64.0.0/10 to 100.64.0.1/32:80,443".
func (m Match) String() string {
	return joined(m.protocols(), ",") + " from " + joined(m.Srcs, ", ") + " to " + joined(m.Dsts, ", ")
}

func joined[T fmt.Stringer](items []T, sep string) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = item.String()
	}
	return strings.Join(texts, sep)
}

// maxNamed is how many of a rule's sources, destinations or ports are named
// where it is said what the rule lacks.
const maxNamed = 8

// someOf joins items and says how many more there are than it names.
func someOf[T fmt.Stringer](items []T, sep string) string {
	if len(items) <= maxNamed {
		return joined(items, sep)
	}
	return fmt.Sprintf("%s and %d more", joined(items[:maxNamed], sep), len(items)-maxNamed)
}

// Lack is a set of respects in which a rule does not allow a flow. The zero
// value is none.
type Lack uint8

// Respects, the hardest to overlook first: of two rules that lack one thing
// each, the one that lacks the later is nearer.
const (
	LackDestination Lack = 1 << iota
	LackSource
	LackProtocol
	LackPort
)

var lackNames = [...]string{"destination", "source", "protocol", "port"}

// Has reports whether all of what is in l.
func (l Lack) Has(what Lack) bool { return l&what == what }

// String returns the respects in the form "source,port".
func (l Lack) String() string {
	var names []string
	for i, name := range lackNames {
		if l.Has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// nearer reports whether a rule that lacks l is nearer than one that lacks o:
// it lacks less, or as much but nothing so grave.
func (l Lack) nearer(o Lack) bool {
	if n, m := bits.OnesCount8(uint8(l)), bits.OnesCount8(uint8(o)); n != m {
		return n < m
	}
	return severity(l) < severity(o)
}

// graveness orders sets of one size by the gravest respect, then the next.
func severity(l Lack) uint8 { return bits.Reverse8(uint8(l)) }

// explainNearest fills in which rule comes nearest to allowing a flow and what
// it lacks: the first of those that lack least. It does nothing if no rule is
// for that source or that destination.
func (f *Filter) explainNearest(e *Explanation, src netip.Addr, dst netip.AddrPort, proto ipproto.Proto) {
	for i := range f.rules {
		l := f.rules[i].lack(src, dst, proto)
		if !l.Has(LackSource|LackDestination) && (e.NearestRule == noRule || l.nearer(e.Lacks)) {
			e.NearestRule, e.Lacks = i, l
		}
	}
	if e.NearestRule != noRule {
		e.Nearest = fmt.Sprintf("rule %d comes nearest: %s", e.NearestRule, f.rules[e.NearestRule].lacks(e.Lacks, src, dst, proto))
	}
}

// lack returns what of m does not fit the flow. The port is looked for with
// the destinations that fit, or if none does, with any.
func (m *Match) lack(src netip.Addr, dst netip.AddrPort, proto ipproto.Proto) Lack {
	l := LackDestination | LackSource | LackProtocol
	if slices.ContainsFunc(m.Srcs, func(n netip.Prefix) bool { return n.Contains(src) }) {
		l &^= LackSource
	}
	if slices.Contains(m.protocols(), proto) {
		l &^= LackProtocol
	}
	fitting, any := false, false // whether the port is there
	for _, d := range m.Dsts {
		has := !proto.HasPorts() || d.Ports.contains(dst.Port())
		any = any || has
		if d.Net.Contains(dst.Addr()) {
			l &^= LackDestination
			fitting = fitting || has
		}
	}
	if !fitting && (!l.Has(LackDestination) || !any) {
		l |= LackPort
	}
	return l
}

// lacks says in words which respects are missing.
func (m *Match) lacks(l Lack, src netip.Addr, dst netip.AddrPort, proto ipproto.Proto) string {
	var why []string
	if l.Has(LackSource) {
		why = append(why, fmt.Sprintf("source %v is not in %s", src, someOf(m.Srcs, ", ")))
	}
	if l.Has(LackDestination) {
		why = append(why, fmt.Sprintf("destination %v is not in %s", destination(dst, proto), someOf(m.Dsts, ", ")))
	} else if l.Has(LackPort) {
		why = append(why, fmt.Sprintf("port %d is not in %s", dst.Port(), someOf(m.portsFor(dst.Addr()), ",")))
	}
	if l.Has(LackProtocol) {
		why = append(why, fmt.Sprintf("protocol %v is not in %s", proto, joined(m.protocols(), ",")))
	}
	return strings.Join(why, "; ")
}

// portsFor returns the ports of m that go with dst.
func (m *Match) portsFor(dst netip.Addr) []PortRange {
	var ports []PortRange
	for _, d := range m.Dsts {
		if d.Net.Contains(dst) {
			ports = append(ports, d.Ports)
		}
	}
	return ports
}

// destination is the destination of a flow in words, with the port if the
// protocol has ports.
func destination(dst netip.AddrPort, proto ipproto.Proto) string {
	if proto.HasPorts() {
		return dst.String()
	}
	return dst.Addr().String()
}
