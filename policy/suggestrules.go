package policy

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"tstun/filter"
	"tstun/ipproto"
)

// atom is flows from one host to one other, by their words.
type atom struct {
	src, dst string
	protos   []ipproto.Proto // of one word
	ports    []filter.PortRange
}

// pair is two words for hosts, or the two addresses, and the protocol between them.
type pair[T comparable] struct {
	src, dst T
	proto    ipproto.Proto // ICMPv4 for both of ICMP
}

// rulesFor returns the rules for flows. What hosts get beside what was asked for, since
// they have several addresses, must be as may says and get in, and no test may deny it:
// else addresses stand for them.
func (e *editor) rulesFor(asked []Flow, may func(atom) bool) []Words {
	byWords := newGroups[pair[string], Flow]()
	for _, f := range asked {
		byWords.add(pair[string]{e.hosts.of(f.Src), e.hosts.of(f.Dst.Addr()), protoKey(f)}, f)
	}
	var atoms []atom
	for k, flows := range byWords.all() {
		a := newAtom(k, flows)
		if may(a) && e.fits(a) {
			atoms = append(atoms, a)
			continue
		}
		byAddrs := newGroups[pair[netip.Addr], Flow]()
		for _, f := range flows {
			byAddrs.add(pair[netip.Addr]{f.Src, f.Dst.Addr(), k.proto}, f)
		}
		for k, flows := range byAddrs.all() {
			atoms = append(atoms, newAtom(pair[string]{e.hosts.literal(k.src), e.hosts.literal(k.dst), k.proto}, flows))
		}
	}
	return e.wordsOf(mergeAtoms(atoms))
}

func protoKey(f Flow) ipproto.Proto {
	if f.Proto.IsICMP() {
		return ipproto.ICMPv4
	}
	return f.Proto
}

// newAtom returns the flows, which are all between the pair's.
func newAtom(k pair[string], flows []Flow) atom {
	ports := make([]uint16, len(flows))
	for i, f := range flows {
		ports[i] = f.Dst.Port()
	}
	slices.Sort(ports)
	return atom{k.src, k.dst, protosOfFlow(flows[0]), portsOfProto(k.proto, slices.Compact(ports))}
}

// portsOfProto returns sorted ports as ranges, or nil for a protocol without.
func portsOfProto(p ipproto.Proto, ports []uint16) []filter.PortRange {
	if !p.HasPorts() {
		return nil
	}
	return portsIn(ports)
}

// fits reports whether no test denies any of what an atom allows, and the filter drops
// none of it before the rules.
func (e *editor) fits(a atom) bool {
	protos, ports := protoSpans(a.protos), portSpans(a.ports)
	for v := range e.scopes {
		sp, sc := space{version: v}, &e.scopes[v]
		src, dst := sp.spans(e.hosts.addrs[a.src]), sp.spans(e.hosts.addrs[a.dst])
		if overlap(src, sc.dropSrc) || overlap(dst, sc.dropDst) || !subset(dst, sc.localSpans) {
			return false
		}
		if slices.ContainsFunc(e.denials, func(t *expectation) bool { return t.meets(v, src, dst, protos, ports) }) {
			return false
		}
	}
	return true
}

// words of rules are numbered, and so are the lists of them.
type numbered[T comparable] struct {
	all []T
	at  map[T]int
}

func (n *numbered[T]) of(x T) int {
	if n.at == nil {
		n.at = make(map[T]int)
	}
	i, ok := n.at[x]
	if !ok {
		i = len(n.all)
		n.at[x] = i
		n.all = append(n.all, x)
	}
	return i
}

// destinationWord is a host and ports in the form of a destination: "22,80", or empty
// for protocols without.
type destinationWord struct{ host, ports string }

// merging makes few rules of atoms. A ruleBox is what is allowed of some protocols,
// from some sources, to some destinations: lists of numbers.
type merging struct {
	protos numbered[string]
	srcs   numbered[string]
	dsts   numbered[destinationWord]
	lists  numbered[string] // lists of numbers, ascending, in 4 bytes each
}

type ruleBox [3]int // indices into lists

// Dimensions of a ruleBox.
const (
	ofProtos = iota
	ofSrcs
	ofDsts
)

// mergeAtoms returns the rules that allow just what the atoms do: the fewest of those
// that two orders of merging give.
func mergeAtoms(atoms []atom) (*merging, []ruleBox) {
	m := new(merging)
	boxes := make([]ruleBox, len(atoms))
	for i, a := range atoms {
		ports := ""
		if a.ports != nil {
			ports = PortsText(a.ports)
		}
		boxes[i] = ruleBox{
			m.single(m.protos.of(strings.Join(protoWords(a.protos), ","))),
			m.single(m.srcs.of(a.src)),
			m.single(m.dsts.of(destinationWord{a.dst, ports})),
		}
	}
	boxes = m.merge(boxes, ofProtos)
	var best []ruleBox
	for _, order := range [][]int{{ofDsts, ofSrcs, ofProtos}, {ofSrcs, ofDsts, ofProtos}} {
		all := boxes
		for {
			before := len(all)
			for _, dim := range order {
				all = m.merge(all, dim)
			}
			if len(all) == before {
				break
			}
		}
		if best == nil || len(all) < len(best) {
			best = all
		}
	}
	return m, best
}

// merge makes one of the boxes that differ in one dimension alone.
func (m *merging) merge(boxes []ruleBox, dim int) []ruleBox {
	alike := newGroups[ruleBox, int]()
	for _, b := range boxes {
		list := b[dim]
		b[dim] = 0
		alike.add(b, list)
	}
	all := make([]ruleBox, 0, len(alike.keys))
	for b, lists := range alike.all() {
		b[dim] = lists[0]
		if len(lists) > 1 {
			var union []uint32
			for _, list := range lists {
				union = append(union, m.numbers(list)...)
			}
			slices.Sort(union)
			b[dim] = m.list(slices.Compact(union))
		}
		all = append(all, b)
	}
	return all
}

func (m *merging) single(n int) int { return m.list([]uint32{uint32(n)}) }

func (m *merging) list(numbers []uint32) int {
	b := make([]byte, 0, 4*len(numbers))
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return m.lists.of(string(b))
}

func (m *merging) numbers(list int) []uint32 {
	b := []byte(m.lists.all[list])
	all := make([]uint32, len(b)/4)
	for i := range all {
		all[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	return all
}

// wordsOf returns the boxes as rules, in order.
func (e *editor) wordsOf(m *merging, boxes []ruleBox) []Words {
	var all []Words
	for _, b := range boxes {
		var w Words
		for _, n := range m.numbers(b[ofProtos]) {
			w.Protos = append(w.Protos, strings.TrimPrefix(m.protos.all[n], "proto-")) // of an unnamed one, its number
		}
		slices.Sort(w.Protos)
		for _, n := range m.numbers(b[ofSrcs]) {
			w.Srcs = append(w.Srcs, m.srcs.all[n])
		}
		w.Srcs = e.hosts.join(w.Srcs)
		byPorts := make(map[string][]string)
		for _, n := range m.numbers(b[ofDsts]) {
			d := m.dsts.all[n]
			byPorts[d.ports] = append(byPorts[d.ports], d.host)
		}
		var dsts []destinationWord
		for _, ports := range slices.Sorted(maps.Keys(byPorts)) {
			for _, host := range e.hosts.join(byPorts[ports]) {
				dsts = append(dsts, destinationWord{host, ports})
			}
		}
		slices.SortStableFunc(dsts, func(a, b destinationWord) int { return cmp.Compare(a.host, b.host) })
		for _, d := range dsts {
			w.Dsts = append(w.Dsts, d.String())
		}
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b Words) int {
		return cmp.Or(slices.Compare(a.Srcs, b.Srcs), slices.Compare(a.Dsts, b.Dsts), slices.Compare(a.Protos, b.Protos))
	})
	return all
}

// String returns the form that a rule has.
func (d destinationWord) String() string {
	host := d.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if d.ports == "" {
		return host
	}
	return host + ":" + d.ports
}
