package policy

import (
	"cmp"
	"slices"
	"strings"

	"tstun/filter"
	"tstun/ipproto"
)

// joinTables makes one Matrix of those of both IP versions. Rows and columns that
// are called the same become one: flows do not mix versions.
func joinTables(all [2]table) *Matrix {
	srcs, dsts := newJoinedSets(), newJoinedSets()
	type pair struct{ src, dst int }
	cells := make(map[pair]*[2][]Access)
	for v, t := range all {
		if len(all[1-v].cells) == 0 { // there is nothing to take them for
			clearVersion(t.srcNames)
			clearVersion(t.dstNames)
		}
		src, dst := srcs.add(t.srcNames), dsts.add(t.dstNames)
		for _, c := range t.cells {
			at := pair{src[c.Src], dst[c.Dst]}
			if cells[at] == nil {
				cells[at] = new([2][]Access)
			}
			cells[at][v] = c.Access
		}
	}
	m := new(Matrix)
	var srcAt, dstAt []int
	m.Srcs, srcAt = srcs.sorted()
	m.Dsts, dstAt = dsts.sorted()
	for at, access := range cells {
		src, dst := srcAt[at.src], dstAt[at.dst]
		m.Cells = append(m.Cells, Cell{src, dst, joinAccess(m.Srcs[src], m.Dsts[dst], access)})
	}
	slices.SortFunc(m.Cells, func(a, b Cell) int { return cmp.Or(a.Src-b.Src, a.Dst-b.Dst) })
	return m
}

// clearVersion clears the IP version of the others.
func clearVersion(sets []Set) {
	for i := range sets {
		if sets[i].Others {
			sets[i].IPVersion = 0
		}
	}
}

// joinAccess joins what holds in a cell in either IP version.
func joinAccess(src, dst Set, access *[2][]Access) []Access {
	alike := slices.EqualFunc(access[0], access[1], func(a, b Access) bool { return a.key() == b.key() })
	var all []Access
	for v, of := range access {
		other := src.has(1-v) && dst.has(1-v) // flows of the other version are in the cell, too
		for _, a := range of {
			if other && !alike {
				a.IPVersion = 4 + 2*v
			}
			all = append(all, a)
		}
		if alike && len(of) > 0 {
			break
		}
	}
	return all
}

// has reports whether addresses of an IP version are in the set.
func (s Set) has(version int) bool {
	return slices.ContainsFunc(s.Ranges, func(r Range) bool { return r.First.Is6() == (version == 1) })
}

// joinedSets are sets of both IP versions by what they are called.
type joinedSets struct {
	all   []Set
	byKey map[string]int
}

func newJoinedSets() *joinedSets { return &joinedSets{byKey: make(map[string]int)} }

// add adds the sets of an IP version, and returns their indices in j.all.
func (j *joinedSets) add(sets []Set) []int {
	at := make([]int, len(sets))
	for i, s := range sets {
		version := s.IPVersion
		s.IPVersion = 0
		key := s.key()
		n, known := j.byKey[key]
		if known {
			j.all[n].Ranges = append(j.all[n].Ranges, s.Ranges...)
			j.all[n].IPVersion = 0
		} else {
			n = len(j.all)
			s.IPVersion = version
			j.all = append(j.all, s)
			j.byKey[key] = n
		}
		at[i] = n
	}
	return at
}

// key is the same for sets that are called the same, whole.
func (s Set) key() string {
	if s.Others {
		return "*"
	}
	words := slices.Clone(s.Names)
	for _, r := range s.Unnamed {
		words = append(words, r.String())
	}
	return strings.Join(words, ",")
}

// sorted returns the sets in order: those with names, those without, the others.
// at is where each went.
func (j *joinedSets) sorted() (sets []Set, at []int) {
	order := make([]int, len(j.all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		s, t := j.all[a], j.all[b]
		return cmp.Or(
			falseFirst(s.Others, t.Others), falseFirst(len(s.Names) == 0, len(t.Names) == 0), slices.Compare(s.Names, t.Names),
			slices.CompareFunc(s.Ranges, t.Ranges, func(a, b Range) int { return a.First.Compare(b.First) }))
	})
	at = make([]int, len(order))
	for i, n := range order {
		at[n] = i
		sets = append(sets, j.all[n])
	}
	return sets, at
}

// Allowed returns what the matrix says of a flow: said is false if it is in no
// cell.
func (m *Matrix) Allowed(f Flow) (allowed, said bool) {
	src, dst := holding(m.Srcs, Range{f.Src, f.Src}), holding(m.Dsts, Range{f.Dst.Addr(), f.Dst.Addr()})
	if src < 0 || dst < 0 || f.Src.BitLen() != f.Dst.Addr().BitLen() {
		return false, false
	}
	version := 4
	if f.Src.Is6() {
		version = 6
	}
	for _, a := range m.Cell(src, dst) {
		if (a.IPVersion == 0 || a.IPVersion == version) && a.has(f.Proto, f.Dst.Port()) {
			return a.Allowed, true
		}
	}
	return false, false
}

// has reports whether flows of the protocol to the port are among a's.
func (a Access) has(p ipproto.Proto, port uint16) bool {
	return slices.Contains(a.Protos, p) &&
		(!p.HasPorts() || slices.ContainsFunc(a.Ports, func(r filter.PortRange) bool { return r.First <= port && port <= r.Last }))
}

// holding returns the index of the set that has all of r, or -1.
func holding(sets []Set, r Range) int {
	return slices.IndexFunc(sets, func(s Set) bool {
		return slices.ContainsFunc(s.Ranges, func(t Range) bool {
			return t.First.BitLen() == r.First.BitLen() && !r.First.Less(t.First) && !t.Last.Less(r.Last)
		})
	})
}
