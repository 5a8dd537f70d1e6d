package flow

import (
	"sync"
	"sync/atomic"
)

// list is a doubly linked list of entries by their last use.
type list struct{ oldest, newest ref }

// shard is one part of a Table, with its own lock, which guards all of it.
// What a look-up needs is in the first cache line, and shards share none.
type shard[V any] struct {
	mu      sync.Mutex
	changes atomic.Uint32 // see Stamp; written under mu
	store[V]
	hand  ref // the slot where the sweep stands
	lists [lists]list
	_     [48]byte
}

// stamp is that of this moment.
func (s *shard[V]) stamp(expires int64) Stamp {
	return Stamp{&s.changes, s.changes.Load(), expires}
}

// empty takes all out of s, memory and all.
func (s *shard[V]) empty() store[V] {
	old := s.store
	s.store = store[V]{}
	s.changes.Add(1)
	s.hand = none
	s.lists = [lists]list{}
	return old
}

// insert adds the key k, which is not there, to its list as the newest.
func (s *shard[V]) insert(t *Table[V], h uint64, k *Key, c claimant, tick uint32) ref {
	if s.full() {
		s.grow(t)
	}
	r := s.place(h, &Entry[V]{key: *k, Expires: Never, tick: tick, list: c.list(), Yields: c.yields})
	s.enlist(r)
	return r
}

// grow makes room for about a third more, or for what the shard holds of a
// full table, if that is near. It is the one thing that takes time in
// proportion to the shard.
func (s *shard[V]) grow(t *Table[V]) {
	old := s.pairs()
	pairs := old + old/3 + 4
	if old < t.fair && 4*pairs > 3*t.fair {
		pairs = t.fair
	}
	// The entries keep their order, nearly, so the hand has its place.
	hand := ref(uint64(s.hand) * uint64(pairs) / uint64(max(old, 1)))
	var moved []ref
	s.store, moved = s.grown(pairs)
	s.hand = hand
	for i, l := range s.lists {
		s.lists[i] = list{moved[l.oldest], moved[l.newest]}
	}
}

func (s *shard[V]) remove(r ref) {
	s.changes.Add(1)
	s.unlist(r)
	key := s.at(r).Key()
	s.vacate(secrets.hash(&key), r)
}

// enlist makes r the newest of the list that it names.
func (s *shard[V]) enlist(r ref) {
	l := &s.lists[s.at(r).list]
	*s.link(r) = link{older: l.newest}
	if l.newest != none {
		s.link(l.newest).newer = r
	} else {
		l.oldest = r
	}
	l.newest = r
}

func (s *shard[V]) unlist(r ref) {
	l, at := &s.lists[s.at(r).list], *s.link(r)
	if at.older != none {
		s.link(at.older).newer = at.newer
	} else {
		l.oldest = at.newer
	}
	if at.newer != none {
		s.link(at.newer).older = at.older
	} else {
		l.newest = at.older
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
