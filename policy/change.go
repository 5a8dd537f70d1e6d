package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tstun/filter"
	"tstun/ipproto"
)

// Range is the addresses from First to Last, both included, of one IP version.
type Range struct{ First, Last netip.Addr }

// String returns an address, a prefix, or FIRST-LAST.
func (r Range) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	if p := prefixes(r.First, r.Last); len(p) == 1 {
		return p[0].String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// MarshalText returns String's form.
func (r Range) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// isEverything reports whether r is all addresses of its IP version.
func (r Range) isEverything() bool {
	p := prefixes(r.First, r.Last)
	return len(p) == 1 && p[0].Bits() == 0
}

// Change is new inbound flows that become allowed, or denied: those of any of
// Protos from any of Srcs to any of Ports of any of Dsts. No slice is empty. For
// protocols without ports, Ports is filter.AllPorts.
type Change struct {
	Allowed bool
	Protos  []ipproto.Proto
	Srcs    []Range
	Dsts    []Range
	Ports   []filter.PortRange
}

// String returns the change in words, such as "becomes allowed: tcp from
// 10.0.0.0/8 to 100.64.0.1, ports 22 and 80".
func (c Change) String() string {
	verb := "becomes denied: "
	if c.Allowed {
		verb = "becomes allowed: "
	}
	protos := "every protocol"
	if len(c.Protos) < 254 {
		protos = inWords(c.Protos)
	}
	return verb + protos + " from " + rangesInWords(c.Srcs) + " to " + rangesInWords(c.Dsts) + c.ports()
}

func (c Change) ports() string {
	switch {
	case !slices.ContainsFunc(c.Protos, ipproto.Proto.HasPorts):
		return ""
	case c.Ports[0] == filter.AllPorts:
		return ", all ports"
	case len(c.Ports) == 1 && c.Ports[0].First == c.Ports[0].Last:
		return ", port " + inWords(c.Ports)
	}
	return ", ports " + inWords(c.Ports)
}

// rangesInWords says so if ranges are all that there is.
func rangesInWords(ranges []Range) string {
	var parts []string
	any4, any6 := false, false
	for _, r := range ranges {
		whole := r.isEverything()
		any4 = any4 || whole && r.First.Is4()
		any6 = any6 || whole && r.First.Is6()
		if !whole {
			parts = append(parts, r.String())
		}
	}
	switch {
	case any4 && any6:
		return "any address"
	case any4:
		parts = append([]string{"any IPv4 address"}, parts...)
	case any6:
		parts = append(parts, "any IPv6 address")
	}
	return enumerated(parts)
}

func inWords[T fmt.Stringer](items []T) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = item.String()
	}
	return enumerated(texts)
}

// enumerated joins texts as in "a, b and c".
func enumerated(texts []string) string {
	if n := len(texts) - 1; n > 0 {
		return strings.Join(texts[:n], ", ") + " and " + texts[n]
	}
	return texts[0]
}

// compare orders changes: what becomes allowed first, then by address.
func (c Change) compare(o Change) int {
	switch {
	case c.Allowed && !o.Allowed:
		return -1
	case o.Allowed && !c.Allowed:
		return 1
	}
	ranges := func(a, b Range) int { return cmp.Or(a.First.Compare(b.First), a.Last.Compare(b.Last)) }
	ports := func(a, b filter.PortRange) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	}
	return cmp.Or(
		slices.CompareFunc(c.Srcs, o.Srcs, ranges), slices.CompareFunc(c.Dsts, o.Dsts, ranges),
		slices.CompareFunc(c.Ports, o.Ports, ports), slices.Compare(c.Protos, o.Protos))
}

// joinVersions puts a change of IPv4 and one of IPv6 together that are the only
// ones with their protocols and ports. Flows do not mix versions, so this says
// no more than the two.
func joinVersions(v4, v6 []Change) []Change {
	alike := func(a, b Change) bool {
		return a.Allowed == b.Allowed && slices.Equal(a.Protos, b.Protos) && slices.Equal(a.Ports, b.Ports)
	}
	only := func(changes []Change, c Change) (at int, ok bool) {
		for i, o := range changes {
			if alike(o, c) {
				if ok {
					return 0, false
				}
				at, ok = i, true
			}
		}
		return at, ok
	}
	if len(v4) > maxJoined || len(v6) > maxJoined {
		return append(v4, v6...)
	}
	joined := make([]bool, len(v6))
	var all []Change
	for _, c := range v4 {
		i, one := only(v6, c)
		if _, alone := only(v4, c); one && alone {
			joined[i] = true
			c.Srcs, c.Dsts = append(c.Srcs, v6[i].Srcs...), append(c.Dsts, v6[i].Dsts...)
		}
		all = append(all, c)
	}
	for i, c := range v6 {
		if !joined[i] {
			all = append(all, c)
		}
	}
	return all
}

// maxJoined is how many changes of a version are looked through for a fellow
// in the other: nobody reads more.
const maxJoined = 1000
