package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tstun/filter"
	"tstun/ipproto"
)

// Matrix says who reaches what: a row for each set of sources, a column for
// each set of destinations, and in the cells what new inbound flows from one to
// the other are about. The sources of a row reach the same, the destinations of
// a column are reached by the same, and no two rows or columns are alike, so that
// rows do not overlap, nor do columns.
type Matrix struct {
	Srcs  []Set
	Dsts  []Set
	Cells []Cell // that are not empty, by Src and then Dst
}

// Set is the addresses of a row or a column.
type Set struct {
	// Names are names of the policy all of whose addresses are in the set.
	// Together with Unnamed they are the set, unless Others is true.
	Names   []string
	Unnamed []Range
	// Others: the set is all addresses that are in no other one.
	Others bool
	// IPVersion is 4 or 6 if Names or Others stand for addresses of that version
	// alone here, or else 0.
	IPVersion int
	// Ranges are all addresses of the set, those of IPv4 first.
	Ranges []Range
}

// Cell is what sources have to do with destinations.
type Cell struct {
	Src    int // index into Matrix.Srcs
	Dst    int // index into Matrix.Dsts
	Access []Access
}

// Access is flows of any of Protos to any of Ports. For protocols without ports,
// Ports is filter.AllPorts.
type Access struct {
	// Allowed: the flows are allowed. In the matrix of a difference they become
	// so, or else denied.
	Allowed bool
	// IPVersion is 4 or 6 if this holds for flows of that version alone, or else 0.
	IPVersion int
	Protos    []ipproto.Proto
	Ports     []filter.PortRange
}

// String returns names and addresses, such as "admins, 10.0.0.0/8". Of long lists
// it returns the beginning, and how many more there are.
func (s Set) String() string {
	switch {
	case s.Others && !slices.ContainsFunc(s.Ranges, func(r Range) bool { return !r.isEverything() }):
		return "any" + s.version()
	case s.Others:
		return "any other" + s.version()
	}
	words := slices.Clone(s.Names)
	for _, r := range s.Unnamed {
		words = append(words, r.String())
	}
	return someWords(words, ", ") + s.version()
}

func (s Set) version() string { return versionWord(s.IPVersion) }

func versionWord(v int) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(" (IPv%d)", v)
}

// String returns protocols and ports, such as "tcp,udp 53" or "icmp".
func (a Access) String() string {
	text := protosInShort(a.Protos)
	if slices.ContainsFunc(a.Protos, ipproto.Proto.HasPorts) {
		text += " " + PortsText(a.Ports)
	}
	return text + versionWord(a.IPVersion)
}

// PortsText returns ports in the form that a policy file has: "22,8000-8999", or
// "*" for all.
func PortsText(ports []filter.PortRange) string {
	if len(ports) == 1 && ports[0] == filter.AllPorts {
		return "*"
	}
	texts := make([]string, len(ports))
	for i, r := range ports {
		texts[i] = r.String()
	}
	return strings.Join(texts, ",")
}

// protosInShort returns protocols as a policy file names them, joined by commas.
func protosInShort(protos []ipproto.Proto) string {
	if len(protos) >= 254 {
		return "every protocol"
	}
	return someWords(protoWords(protos), ",")
}

// protoWords returns protocols as a policy file names them: both of ICMP are one.
func protoWords(protos []ipproto.Proto) (words []string) {
	both := slices.Contains(protos, ipproto.ICMPv4) && slices.Contains(protos, ipproto.ICMPv6)
	for _, p := range protos {
		switch {
		case both && p == ipproto.ICMPv4:
		case both && p == ipproto.ICMPv6:
			words = append(words, "icmp")
		default:
			words = append(words, p.String())
		}
	}
	return words
}

// Cell returns what the sources of a row have to do with the destinations of a
// column, or nil.
func (m *Matrix) Cell(src, dst int) []Access {
	i, ok := slices.BinarySearchFunc(m.Cells, [2]int{src, dst}, func(c Cell, at [2]int) int {
		return cmp.Or(c.Src-at[0], c.Dst-at[1])
	})
	if !ok {
		return nil
	}
	return m.Cells[i].Access
}

// MatrixOf returns the matrix of what a policy allows. It computes this on the
// rules, for all addresses, ports and protocols. Addresses that the policy does
// not permit, such as loopback, are left in where that makes sets simpler.
//
// The error is ErrTooLarge, or nil.
func MatrixOf(p *Policy) (*Matrix, error) {
	return MatrixOfDiff(&Policy{local: p.local, permit: p.permit}, p)
}

// MatrixOfDiff returns the matrix of what Diff tells: the flows that become
// allowed or denied when next takes the place of old. Names are next's, and those
// of old that next does not have.
//
// The error is ErrTooLarge, or nil.
func MatrixOfDiff(old, next *Policy) (*Matrix, error) {
	w := maxWork
	var all [2]table
	for v := range all {
		d := differ{version: v, work: &w, intern: make(map[string]int)}
		rules, err := d.rules(old, next)
		if err != nil {
			return nil, err
		}
		if err := walk(rules, &w, &d); err != nil {
			return nil, err
		}
		if all[v], err = d.table(); err != nil {
			return nil, err
		}
		n := newSetNames(v, old, next, &w)
		if all[v].srcNames, err = n.label(all[v].srcs, space{v, next.permit}.spans(everywhere()), all[0].srcNames); err != nil {
			return nil, err
		}
		if all[v].dstNames, err = n.label(all[v].dsts, next.scopes()[v].localSpans, all[0].dstNames); err != nil {
			return nil, err
		}
	}
	return joinTables(all), nil
}
