package policy

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"tstun/filter"
	"tstun/ipproto"
)

// table is a Matrix of one IP version.
type table struct {
	srcs, dsts         [][]span // normal, and without overlap
	srcNames, dstNames []Set
	cells              []Cell // without order
}

// entry is what one class of destinations is to a source.
type entry struct{ dst, access int32 }

// tableMaker makes a table of the boxes of a differ.
type tableMaker struct {
	*differ
	access  [][]Access
	byKey   map[string]int32 // index into access
	dsts    [][]span         // classes
	members map[int][]int32  // the classes of each list of destinations
}

// table returns d.boxes as a table.
func (d *differ) table() (table, error) {
	t := tableMaker{differ: d, byKey: make(map[string]int32)}
	if err := t.cutDsts(); err != nil {
		return table{}, err
	}
	srcs, rows, err := t.rows()
	if err != nil {
		return table{}, err
	}
	return t.joinColumns(srcs, rows)
}

// cutDsts cuts the destinations into classes that are in the same boxes.
func (t *tableMaker) cutDsts() error {
	var lists []int
	var sets [][]span
	t.members = make(map[int][]int32)
	for _, b := range t.boxes {
		if list := b.dims[dimDst]; t.members[list] == nil {
			t.members[list] = []int32{}
			lists = append(lists, list)
			sets = append(sets, t.lists[list])
		}
	}
	classes, members, err := partition(sets, t.work)
	if err != nil {
		return err
	}
	t.dsts = classes
	for i, list := range lists {
		t.members[list] = members[i]
	}
	return nil
}

// rows returns the sources, those that reach the same as one, and what each of
// them reaches, in the order of the classes of destinations.
func (t *tableMaker) rows() (srcs [][]span, rows [][]entry, err error) {
	pairs := newGroups[[2]int, box]()
	for _, b := range t.boxes {
		pairs.add([2]int{b.dims[dimSrc], b.dims[dimDst]}, b)
	}
	bySrc := newGroups[int, entry]()
	for pair, boxes := range pairs.all() {
		access, dsts := t.accessOf(boxes), t.members[pair[1]]
		if !t.work.take(2*len(boxes) + len(dsts)) {
			return nil, nil, ErrTooLarge
		}
		for _, c := range dsts {
			bySrc.add(pair[0], entry{c, access})
		}
	}
	alike := newGroups[string, int]()
	byKey := make(map[string][]entry)
	for list, row := range bySrc.all() {
		slices.SortFunc(row, func(a, b entry) int { return int(a.dst) - int(b.dst) })
		key := entriesKey(row)
		byKey[key] = row
		alike.add(key, list)
	}
	for key, lists := range alike.all() {
		union, err := t.union(lists)
		if err != nil {
			return nil, nil, err
		}
		srcs = append(srcs, t.lists[union])
		rows = append(rows, byKey[key])
	}
	return srcs, rows, nil
}

// entriesKey is the same for the same entries.
func entriesKey(row []entry) string {
	b := make([]byte, 0, 8*len(row))
	for _, e := range row {
		b = binary.BigEndian.AppendUint32(b, uint32(e.dst))
		b = binary.BigEndian.AppendUint32(b, uint32(e.access))
	}
	return string(b)
}

// joinColumns makes one of the destinations that are reached by the same.
func (t *tableMaker) joinColumns(srcs [][]span, rows [][]entry) (table, error) {
	columns := make([][]entry, len(t.dsts)) // dst is a row here
	for row, entries := range rows {
		if !t.work.take(1 + len(entries)) {
			return table{}, ErrTooLarge
		}
		for _, e := range entries {
			columns[e.dst] = append(columns[e.dst], entry{int32(row), e.access})
		}
	}
	alike := newGroups[string, int]()
	byKey := make(map[string][]entry)
	for class, column := range columns {
		key := entriesKey(column)
		byKey[key] = column
		alike.add(key, class)
	}
	all := table{srcs: srcs}
	for key, classes := range alike.all() {
		var spans []span
		for _, c := range classes {
			if !t.work.take(1 + len(t.dsts[c])) {
				return table{}, ErrTooLarge
			}
			spans = append(spans, t.dsts[c]...)
		}
		for _, e := range byKey[key] {
			all.cells = append(all.cells, Cell{int(e.dst), len(all.dsts), t.access[e.access]})
		}
		all.dsts = append(all.dsts, normal(spans))
	}
	return all, nil
}

// accessOf returns the index in t.access of what boxes with the same sources and
// destinations say. It is the same for the same flows: protocols that go with
// the same ports are together.
func (t *tableMaker) accessOf(boxes []box) int32 {
	type services struct {
		is    side
		ports int
	}
	byPorts := newGroups[services, span]()
	for _, b := range boxes {
		byPorts.add(services{b.side, b.dims[dimPorts]}, t.lists[b.dims[dimProtos]]...)
	}
	var access []Access
	var parts []string
	for s, protos := range byPorts.all() {
		a := Access{Allowed: s.is == inNew, Protos: protosOf(normal(protos)), Ports: portsOfSpans(t.lists[s.ports])}
		access = append(access, a)
		parts = append(parts, a.key())
	}
	slices.SortFunc(access, Access.compare)
	slices.Sort(parts)
	key := strings.Join(parts, "")
	i, known := t.byKey[key]
	if !known {
		i = int32(len(t.access))
		t.access = append(t.access, access)
		t.byKey[key] = i
	}
	return i
}

// compare orders what holds in a cell: what is allowed first, then protocols with
// ports, then by protocol.
func (a Access) compare(b Access) int {
	return cmp.Or(
		falseFirst(!a.Allowed, !b.Allowed), falseFirst(!a.Protos[0].HasPorts(), !b.Protos[0].HasPorts()),
		slices.Compare(a.Protos, b.Protos), strings.Compare(a.key(), b.key()))
}

// key is the same for the same flows.
func (a Access) key() string {
	b := []byte{1, byte(len(a.Protos))}
	if a.Allowed {
		b[0] = 0
	}
	for _, p := range a.Protos {
		b = append(b, byte(p))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.Ports)))
	for _, r := range a.Ports {
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, r.First), r.Last)
	}
	return string(b)
}

// protosOf returns the protocols of normal spans.
func protosOf(spans []span) (protos []ipproto.Proto) {
	for _, s := range spans {
		for p := s.first.lo; p <= s.last.lo; p++ {
			protos = append(protos, ipproto.Proto(p))
		}
	}
	return protos
}

// portsOfSpans returns the ports of normal spans.
func portsOfSpans(spans []span) (ports []filter.PortRange) {
	for _, s := range spans {
		ports = append(ports, filter.PortRange{First: uint16(s.first.lo), Last: uint16(s.last.lo)})
	}
	return ports
}

// rangesOf returns the addresses of normal spans.
func rangesOf(spans []span, version int) (ranges []Range) {
	for _, s := range spans {
		ranges = append(ranges, Range{s.first.addr(version), s.last.addr(version)})
	}
	return ranges
}
