package filter

import (
	"fmt"
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

// fit is in which respects a rule allows a flow. The port counts only where
// the destination fits.
type fit struct{ src, dst, port, proto bool }

// score orders fits: a rule that lacks only the port is nearer than one that
// lacks only the protocol, that nearer than one for another source.
func (t fit) score() int {
	n := 0
	for _, part := range []struct {
		ok     bool
		weight int
	}{{t.dst, 8}, {t.src, 4}, {t.proto, 2}, {t.port, 1}} {
		if part.ok {
			n += part.weight
		}
	}
	return n
}

// nearest says which rule comes nearest to allowing a flow and what it lacks.
// It is empty if no rule is for that source or that destination.
func (f *Filter) nearest(src netip.Addr, dst netip.AddrPort, proto ipproto.Proto) string {
	best, bestFit := noRule, fit{}
	for i := range f.rules {
		t := f.rules[i].fit(src, dst, proto)
		if (t.src || t.dst) && (best == noRule || t.score() > bestFit.score()) {
			best, bestFit = i, t
		}
	}
	if best == noRule {
		return ""
	}
	return fmt.Sprintf("rule %d comes nearest: %s", best, f.rules[best].lacks(bestFit, src, dst, proto))
}

func (m *Match) fit(src netip.Addr, dst netip.AddrPort, proto ipproto.Proto) fit {
	t := fit{
		src:   slices.ContainsFunc(m.Srcs, func(n netip.Prefix) bool { return n.Contains(src) }),
		proto: slices.Contains(m.protocols(), proto),
	}
	for _, d := range m.Dsts {
		if d.Net.Contains(dst.Addr()) {
			t.dst = true
			t.port = t.port || !proto.HasPorts() || d.Ports.contains(dst.Port())
		}
	}
	return t
}

// lacks says in words which respects are missing.
func (m *Match) lacks(t fit, src netip.Addr, dst netip.AddrPort, proto ipproto.Proto) string {
	var why []string
	if !t.src {
		why = append(why, fmt.Sprintf("source %v is not in %s", src, joined(m.Srcs, ", ")))
	}
	if !t.dst {
		why = append(why, fmt.Sprintf("destination %v is not in %s", dst.Addr(), joined(m.Dsts, ", ")))
	} else if !t.port {
		why = append(why, fmt.Sprintf("port %d is not in %s", dst.Port(), joined(m.portsFor(dst.Addr()), ",")))
	}
	if !t.proto {
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
