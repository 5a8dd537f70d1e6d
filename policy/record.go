package policy

import (
	"slices"

	"tstun/filter"
)

// Record returns an edit that pins flows as tests of the file: what was let in is to be
// accepted, and what was refused is to be denied, as far as the policy does so. What
// the file's tests name already is left out, and so are flows that the host began. Names
// stand for hosts if the same holds for all their addresses. Arguments and errors are
// those of Suggest. Left are the flows of which the policy says something else.
func Record(name string, data []byte, host string, seen []Seen) (*Suggestion, error) {
	e, err := newEditor(name, data, host)
	if err != nil {
		return nil, err
	}
	s := new(Suggestion)
	var kept [2][]Flow // denied, accepted
	known := make(map[Flow]bool, len(seen))
	for _, x := range seen {
		f := x.Flow
		if f.Src, f.Dst = f.Src.WithZone(""), withoutPort(f); x.Outbound || known[f] || !isWritable(f) {
			continue
		}
		known[f] = true
		accepted := !e.filter.Check(f.Src, f.Dst.Addr(), f.Dst.Port(), f.Proto).IsDrop()
		switch {
		case accepted && x.Refused:
			s.Left = append(s.Left, LeftFlow{f, "it was refused, and the policy accepts it"})
		case !accepted && !x.Refused:
			s.Left = append(s.Left, LeftFlow{f, "it was let in, and the policy refuses it"})
		case !e.isTested(f):
			kept[boolIndex(accepted)] = append(kept[boolIndex(accepted)], f)
		}
	}
	tests := listOfFile{key: "tests"}
	for i, key := range []string{"deny", "accept"} {
		accepted := i == 1
		m, boxes := mergeAtoms(e.atomsOf(kept[i], func(a atom) bool { return e.isAll(a, accepted) }))
		for _, w := range e.wordsOf(m, boxes) {
			tests.more = append(tests.more, objectText(w, key))
		}
	}
	s.Tests = len(tests.more)
	return s, e.finish(s, e.addTo(tests), kept[1])
}

func boolIndex(b bool) int {
	if b {
		return 1
	}
	return 0
}

// isTested reports whether a test of the file is about a flow.
func (e *editor) isTested(f Flow) bool {
	v := version(singleIP(f.Src))
	return slices.ContainsFunc(e.policy.tests, func(t expectation) bool { return t.has(v, f) })
}

// maxAtomFlows is how many flows are asked about to find whether a name may stand for
// addresses.
const maxAtomFlows = 1 << 10

// isAll reports whether the policy accepts all flows of an atom, or none.
func (e *editor) isAll(a atom, accepted bool) bool {
	f := newFlows(a.protos, e.hosts.addrs[a.src], e.hosts.addrs[a.dst], portsOrAll(a.ports))
	if n := f.count(); n == 0 || n > maxAtomFlows {
		return false
	}
	for flow := range f.all() {
		if e.filter.Check(flow.Src, flow.Dst.Addr(), flow.Dst.Port(), flow.Proto).IsDrop() == accepted {
			return false
		}
	}
	return true
}

// portsOrAll returns the ports, or all for protocols without.
func portsOrAll(ports []filter.PortRange) []filter.PortRange {
	if ports == nil {
		return []filter.PortRange{filter.AllPorts}
	}
	return ports
}
