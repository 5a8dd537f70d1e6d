package lpm

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// hashedTable is a bart.Table that looks addresses up in hash tables. The zero
// hashedTable is empty. Prefixes come by Insert only, and cannot be deleted.
type hashedTable[V any] struct {
	bart.Table[V]
	lengths lengths[V]
}

// Insert makes v the value of the valid prefix p.
func (t *hashedTable[V]) Insert(p netip.Prefix, v V) {
	t.Table.Insert(p, v)
	t.lengths.insert(p, v)
}

// Lookup returns the value of the longest prefix that contains a. ok is false if none
// does.
func (t *hashedTable[V]) Lookup(a netip.Addr) (v V, ok bool) { return t.lengths.lookup(a) }

// hashedSet is a bart.Lite that looks addresses up in hash tables, with the rules of
// hashedTable.
type hashedSet struct {
	bart.Lite
	lengths lengths[struct{}]
}

// Insert adds the valid prefix p.
func (s *hashedSet) Insert(p netip.Prefix) {
	s.Lite.Insert(p)
	s.lengths.insert(p, struct{}{})
}

// Contains reports whether a prefix of s contains a.
func (s *hashedSet) Contains(a netip.Addr) bool {
	_, ok := s.lengths.lookup(a)
	return ok
}

// lengths is a hash table of prefixes for each length.
type lengths[V any] struct {
	v4, v6 []length[V] // the longest first
}

type length[V any] struct {
	bits   int
	values map[netip.Prefix]V // by masked prefix
}

// of returns the list for a's address family.
func (l *lengths[V]) of(a netip.Addr) *[]length[V] {
	if a.Is4() {
		return &l.v4
	}
	return &l.v6
}

func (l *lengths[V]) insert(p netip.Prefix, v V) {
	list := l.of(p.Addr())
	i, found := slices.BinarySearchFunc(*list, p.Bits(), func(l length[V], bits int) int { return bits - l.bits })
	if !found {
		*list = slices.Insert(*list, i, length[V]{bits: p.Bits(), values: make(map[netip.Prefix]V)})
	}
	(*list)[i].values[p.Masked()] = v
}

func (l *lengths[V]) lookup(a netip.Addr) (v V, ok bool) {
	for _, at := range *l.of(a) {
		p, err := a.Prefix(at.bits) // without a zone
		if err != nil || !p.IsValid() {
			break // the zero address, which no prefix contains
		}
		if v, ok := at.values[p]; ok {
			return v, true
		}
	}
	return v, false
}
