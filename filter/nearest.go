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

// maxNamed is how many of a rule's sources, destinations or ports a text names.
const maxNamed = 8

// someOf joins the first maxNamed items, and the number of the others.
func someOf[T fmt.Stringer](items []T, sep string) string {
	if len(items) <= maxNamed {
		return joined(items, sep)
	}
	return fmt.Sprintf("%s and %d more", joined(items[:maxNamed], sep), len(items)-maxNamed)
}

// Lack is a set of respects in which a rule does not allow a flow. The zero value is
// the empty set.
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

// Names returns the respects, each as one word.
func (l Lack) Names() (names []string) {
	for i, name := range lackNames {
		if l.Has(1 << i) {
			names = append(names, name)
		}
	}
	return names
}

// String returns the respects in the form "source,port".
func (l Lack) String() string { return strings.Join(l.Names(), ",") }

// nearer reports whether a rule that lacks l is nearer than one that lacks o: it lacks
// fewer respects, or as many but less severe ones.
func (l Lack) nearer(o Lack) bool {
	if n, m := bits.OnesCount8(uint8(l)), bits.OnesCount8(uint8(o)); n != m {
		return n < m
	}
	return severity(l) < severity(o)
}

// severity orders sets of one size by the most severe respect, then by the next.
func severity(l Lack) uint8 { return bits.Reverse8(uint8(l)) }

// Nearest is the rule that comes nearest to allowing a flow. The zero value is no rule.
type Nearest struct {
	// Rule is its index.
	Rule int
	// Text is the rule, as text.
	Text string
	// Lacks is in which respects it does not allow the flow.
	Lacks Lack
	// Why says so in words, such as "port 22 is not in 80,443".
	Why string
}

// IsZero reports whether n is no rule.
func (n Nearest) IsZero() bool { return n == Nearest{} }

// String returns n in the form "rule 1 comes nearest: port 22 is not in 80,443". That of
// the zero value is empty.
func (n Nearest) String() string {
	if n.IsZero() {
		return ""
	}
	return fmt.Sprintf("rule %d comes nearest: %s", n.Rule, n.Why)
}

// Nearest returns which rule comes nearest to allowing an inbound flow of proto from src
// to dst, and what it lacks: of the rules that lack least the first. It asks the rules
// alone, and not whether dst is local or shields are up. ok is false if a rule allows the flow, or if
// none is for that source or that destination. Nearest reads every rule.
func (f *Filter) Nearest(src, dst netip.AddrPort, proto ipproto.Proto) (n Nearest, ok bool) {
	from, to := src.Addr().WithZone("").Unmap(), netip.AddrPortFrom(dst.Addr().WithZone("").Unmap(), dst.Port())
	nearest, least := noRule, Lack(0)
	for i := range f.rules {
		l := f.rules[i].lack(from, to, proto)
		if l == 0 {
			return Nearest{}, false
		}
		if !l.Has(LackSource|LackDestination) && (nearest == noRule || l.nearer(least)) {
			nearest, least = i, l
		}
	}
	if nearest == noRule {
		return Nearest{}, false
	}
	m := &f.rules[nearest]
	return Nearest{Rule: nearest, Text: m.String(), Lacks: least, Why: m.lacks(least, from, to, proto)}, true
}

// lack returns the respects in which m does not allow the flow. The port counts among
// those of the destinations that contain dst, or if none does, of all.
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

// portsFor returns the ports that m has for dst.
func (m *Match) portsFor(dst netip.Addr) []PortRange {
	var ports []PortRange
	for _, d := range m.Dsts {
		if d.Net.Contains(dst) {
			ports = append(ports, d.Ports)
		}
	}
	return ports
}

// destination returns dst as text, with the port if the protocol has ports.
func destination(dst netip.AddrPort, proto ipproto.Proto) string {
	if proto.HasPorts() {
		return dst.String()
	}
	return dst.Addr().String()
}
