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
	chain ref // next in the same bucket, or next free slot
	older ref // neighbours in the list of use
	newer ref

	// Expires is when the entry is gone, on the caller's clock.
	Expires int64

	tick  uint32 // of the last use
	class uint8
	list  uint8
	live  bool

	// Assured entries are evicted only when there are no others.
	Assured bool

	// Value is the caller's.
	Value V
}

// Key returns the key of the entry.
func (e *Entry[V]) Key() Key { return e.key }

const (
	chunkOrder = 5
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

// listOf is the index of the list for entries of a class.
func listOf(class uint8, assured bool) uint8 {
	if assured {
		return class<<1 | 1
	}
	return class << 1
}

// shard is one part of a Table, with its own lock, which guards all of it.
//
// Its index is a linear hash table (Litwin): buckets are added one at a time,
// as entries are, so that no insertion ever has to move more than one bucket.
type shard[V any] struct {
	mu sync.Mutex
	slab[V]
	free    ref   // head of the list of free slots
	hand    ref   // where the sweep stands
	count   int   // live entries
	buckets []ref // heads of the chains
	mask    uint32
	lists   [2 * MaxClasses]list
}

// reset makes s empty and lets go of its memory.
func (s *shard[V]) reset() {
	s.slab = slab[V]{}
	s.free, s.hand, s.count = none, none, 0
	s.buckets, s.mask = nil, 0
	s.lists = [2 * MaxClasses]list{}
}

func (s *shard[V]) bucketOf(h uint32) *ref {
	b := h & s.mask
	if int(b) >= len(s.buckets) {
		b = h & (s.mask >> 1)
	}
	return &s.buckets[b]
}

func (s *shard[V]) find(h uint32, k Key) ref {
	if len(s.buckets) == 0 {
		return none
	}
	for r := *s.bucketOf(h); r != none; {
		e := s.at(r)
		if e.hash == h && e.key == k {
			return r
		}
		r = e.chain
	}
	return none
}

// insert adds the key k, which is not there, to its list as the newest.
func (s *shard[V]) insert(h uint32, k Key, class uint8, tick uint32) ref {
	if s.count >= len(s.buckets) {
		s.addBucket()
	}
	r := s.takeSlot()
	head := s.bucketOf(h)
	*s.at(r) = Entry[V]{
		key: k, hash: h, chain: *head,
		Expires: Never,
		tick:    tick, class: class, list: listOf(class, false), live: true,
	}
	*head = r
	s.count++
	s.enlist(r)
	return r
}

func (s *shard[V]) takeSlot() ref {
	if r := s.free; r != none {
		s.free = s.at(r).chain
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
	link := s.bucketOf(e.hash)
	for *link != r {
		link = &s.at(*link).chain
	}
	*link = e.chain
	*e = Entry[V]{chain: s.free}
	s.free = r
	s.count--
}

// addBucket grows the index by one bucket and moves into it those entries of
// its sibling, the bucket with the same number but for the highest bit, that
// belong there.
func (s *shard[V]) addBucket() {
	n := uint32(len(s.buckets))
	s.buckets = append(s.buckets, none)
	if n == 0 {
		return
	}
	if n > s.mask {
		s.mask = s.mask<<1 | 1
	}
	link := &s.buckets[n&(s.mask>>1)]
	for r := *link; r != none; r = *link {
		e := s.at(r)
		if e.hash&s.mask != n {
			link = &e.chain
			continue
		}
		*link = e.chain
		e.chain = s.buckets[n]
		s.buckets[n] = r
	}
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

// oldestOf returns the entry of a class that is to be evicted first.
func (s *shard[V]) oldestOf(class uint8) ref {
	if r := s.lists[listOf(class, false)].oldest; r != none {
		return r
	}
	return s.lists[listOf(class, true)].oldest
}

// oldest returns the entry of the shard that is to be evicted first.
func (s *shard[V]) oldest() ref {
	for _, assured := range [...]bool{false, true} {
		found := none
		for class := range uint8(MaxClasses) {
			r := s.lists[listOf(class, assured)].oldest
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
