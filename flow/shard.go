package flow

import "sync"

// ref names a slot of a shard. Slots count from 1.
type ref int32

const none ref = 0

// Entry is what a Table holds for a key. Its exported fields may be changed
// by the function that Update or Upsert calls.
type Entry[V any] struct {
	key   Key
	hash  uint32
	older ref    // neighbours in the list of use
	newer ref    // also: the next free slot
	tick  uint32 // of the last use

	// Expires is when the entry is gone, on the caller's clock.
	Expires int64

	class uint8
	list  uint8
	live  bool

	// Yields: the entry is evicted before all that do not yield.
	Yields bool
	// Rank orders those that yield, and those that do not: lower ranks are
	// evicted first. Less than Ranks.
	Rank uint8

	// Value is the caller's.
	Value V
}

// Key returns the key of the entry.
func (e *Entry[V]) Key() Key { return e.key }

const (
	chunkOrder = 6
	chunkLen   = 1 << chunkOrder
)

// slab is a growing array of entries that never move.
type slab[V any] struct {
	chunks []*[chunkLen]Entry[V]
	used   ref // slots in use or in the free list: 1 to used
}

func (s *slab[V]) at(r ref) *Entry[V] {
	i := uint32(r - 1)
	return &s.chunks[i>>chunkOrder][i%chunkLen]
}

// list is a doubly linked list of entries by their last use.
type list struct{ oldest, newest ref }

// Lists are numbered by groups, in the order in which these are evicted, and
// in a group by classes.
const (
	yieldingGroups = Ranks
	groups         = 2 * Ranks
)

func listOf(group, class uint8) uint8 { return group*MaxClasses + class }

// listed is the number of the list that e belongs into.
func (e *Entry[V]) listed() uint8 {
	if e.Yields {
		return listOf(e.Rank, e.class)
	}
	return listOf(yieldingGroups+e.Rank, e.class)
}

// claimant is the new entry that asks for a place.
type claimant struct {
	class  uint8
	yields bool
}

// candidates is how many groups may be evicted for a new entry.
func (c claimant) candidates() uint8 {
	if c.yields {
		return yieldingGroups
	}
	return groups
}

// shard is one part of a Table, with its own lock, which guards all of it.
type shard[V any] struct {
	mu sync.Mutex
	slab[V]
	index index
	free  ref // head of the list of free slots
	hand  ref // where the sweep stands
	lists [groups * MaxClasses]list
}

// reset makes s empty and lets go of its memory.
func (s *shard[V]) reset() {
	s.slab = slab[V]{}
	s.index = index{}
	s.free, s.hand = none, none
	s.lists = [groups * MaxClasses]list{}
}

func (s *shard[V]) find(h uint32, k Key) ref {
	places := s.index.places
	if len(places) == 0 {
		return none
	}
	for i := h; ; i++ {
		p := places[i&uint32(len(places)-1)]
		if p.ref == none || p.hash == h && s.at(p.ref).key == k {
			return p.ref
		}
	}
}

// insert adds the key k, which is not there, to its list as the newest.
func (s *shard[V]) insert(h uint32, k Key, c claimant, tick uint32) ref {
	r := s.takeSlot()
	e := s.at(r)
	*e = Entry[V]{
		key: k, hash: h,
		Expires: Never,
		tick:    tick, class: c.class, Yields: c.yields, live: true,
	}
	e.list = e.listed()
	s.index.add(h, r)
	s.enlist(r)
	return r
}

func (s *shard[V]) takeSlot() ref {
	if r := s.free; r != none {
		s.free = s.at(r).newer
		return r
	}
	if int(s.used) == len(s.chunks)*chunkLen {
		s.chunks = append(s.chunks, new([chunkLen]Entry[V]))
	}
	s.used++
	return s.used
}

func (s *shard[V]) remove(r ref) {
	s.unlist(r)
	e := s.at(r)
	s.index.remove(e.hash, r)
	*e = Entry[V]{newer: s.free}
	s.free = r
}

// enlist makes r the newest of the list that it names.
func (s *shard[V]) enlist(r ref) {
	e := s.at(r)
	l := &s.lists[e.list]
	e.older, e.newer = l.newest, none
	if l.newest != none {
		s.at(l.newest).newer = r
	} else {
		l.oldest = r
	}
	l.newest = r
}

func (s *shard[V]) unlist(r ref) {
	e := s.at(r)
	l := &s.lists[e.list]
	if e.older != none {
		s.at(e.older).newer = e.newer
	} else {
		l.oldest = e.newer
	}
	if e.newer != none {
		s.at(e.newer).older = e.older
	} else {
		l.newest = e.older
	}
}

// oldestOf returns the entry of c's class that is to be evicted for c.
func (s *shard[V]) oldestOf(c claimant) ref {
	for group := range c.candidates() {
		if r := s.lists[listOf(group, c.class)].oldest; r != none {
			return r
		}
	}
	return none
}

// oldest returns the entry of the shard that is to be evicted for c.
func (s *shard[V]) oldest(c claimant) ref {
	for group := range c.candidates() {
		found := none
		for class := range uint8(MaxClasses) {
			r := s.lists[listOf(group, class)].oldest
			if r == none {
				continue
			}
			// Ticks wrap: their difference tells, not their order.
			if found == none || int32(s.at(r).tick-s.at(found).tick) < 0 {
				found = r
			}
		}
		if found != none {
			return found
		}
	}
	return none
}
