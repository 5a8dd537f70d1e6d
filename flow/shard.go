package flow

import (
	"sync"
	"sync/atomic"
)

// list is a doubly linked list of entries by their last use.
type list struct{ oldest, newest ref }

// shard is one part of a Table, with its own lock, which guards all of it. A look-up
// reads the first cache line only. No two shards share a cache line.
type shard[V any] struct {
	mu      sync.Mutex
	changes atomic.Uint32 // see Stamp; written under mu
	store[V]
	counted Counts // by UpdateID, since KeepAccounts
	hand    ref    // the slot that the last sweep ended at
	lists   [lists]list
	keeper  *Accounts[V] // nil: no accounts are kept
	copied  uint64       // serial of the Snapshot that has a copy
	places  places       // of store; written under mu
	_       [cacheLine]byte
}

// stamp returns the Stamp of this moment for an entry that expires then.
func (s *shard[V]) stamp(expires int64) Stamp {
	return Stamp{&s.changes, s.changes.Load(), expires}
}

// empty removes all entries from s and returns the store that they are in.
func (s *shard[V]) empty() store[V] {
	old := s.store
	s.store = store[V]{ends: old.ends + 1}
	if old.counts != nil {
		s.keepAccounts()
	}
	s.changes.Add(1)
	s.hand = none
	s.lists = [lists]list{}
	s.place()
	return old
}

// newEntry adds an entry of the key k, which is not in s, as the newest of its list.
func (s *shard[V]) newEntry(t *Table[V], h uint64, k *Key, c Claim, share shareIndex, tick uint16) ref {
	s.shrink()
	if s.full() {
		s.grow(t)
	}
	r := s.insert(h, &Entry[V]{key: *k, Expires: Never, tick: tick, share: share, list: c.list(), EvictFirst: c.Peer != 0})
	s.pushNewest(r)
	return r
}

// grow enlarges the store by about a third, or to the size that it has in a full table,
// if that is near. No other operation but shrink takes time in proportion to the shard.
func (s *shard[V]) grow(t *Table[V]) {
	old := s.pairs()
	pairs := old + old/3 + 4
	if old < t.fullPairs && 4*pairs > 3*t.fullPairs {
		pairs = t.fullPairs
	}
	s.resize(pairs)
}

// shrink frees memory where the entries are few for it: in a quarter of the slots, so that
// the store neither grows nor shrinks again soon.
func (s *shard[V]) shrink() {
	if s.sparse() {
		s.resize(2 * s.count)
	}
}

// resize moves the entries to a store of so many pairs.
func (s *shard[V]) resize(pairs int) {
	// The entries nearly keep their order, so the hand keeps its place in it.
	hand := ref(uint64(s.hand) * uint64(pairs) / uint64(max(s.pairs(), 1)))
	var moved []ref
	s.store, moved = s.resized(pairs)
	s.place()
	s.hand = hand
	for i, l := range s.lists {
		s.lists[i] = list{moved[l.oldest], moved[l.newest]}
	}
}

func (s *shard[V]) remove(r ref) {
	s.changes.Add(1)
	s.unlink(r)
	key := s.at(r).Key()
	s.clear(hashKey.hash(&key), r)
}

// pushNewest adds r to its entry's list, as the newest.
func (s *shard[V]) pushNewest(r ref) {
	l := &s.lists[s.at(r).list]
	*s.link(r) = link{older: l.newest}
	if l.newest != none {
		s.link(l.newest).newer = r
	} else {
		l.oldest = r
	}
	l.newest = r
}

func (s *shard[V]) unlink(r ref) {
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

// oldestOf returns the entry of the class that a new one of the host's evicts, or
// none.
func (s *shard[V]) oldestOf(class uint8) ref {
	for group := range uint8(groups) {
		if r := s.lists[listOf(group, class)].oldest; r != none {
			return r
		}
	}
	return none
}

// oldest returns the entry of any class that a new one of the host's evicts, or none.
func (s *shard[V]) oldest() ref {
	for group := range uint8(groups) {
		found := none
		for class := range uint8(MaxClasses) {
			found = s.older(found, s.lists[listOf(group, class)].oldest)
		}
		if found != none {
			return found
		}
	}
	return none
}

// maxShareSearch is how many entries of each list are searched for one of a share. A
// peer at its limit holds so many that one of a few is its own.
const maxShareSearch = 32

// oldestOfShare returns the entry of the share that a new one of the share evicts, of
// the class if ofClass, or none. It searches the oldest entries only.
func (s *shard[V]) oldestOfShare(share shareIndex, class uint8, ofClass bool) ref {
	for group := range uint8(evictFirstGroups) {
		found := none
		for c := range uint8(MaxClasses) {
			if ofClass && c != class {
				continue
			}
			r := s.lists[listOf(group, c)].oldest
			for n := 0; r != none && s.at(r).share != share; n++ {
				if r = s.link(r).newer; n == maxShareSearch {
					r = none
				}
			}
			found = s.older(found, r)
		}
		if found != none {
			return found
		}
	}
	return none
}

// older returns the longer unused of two entries, or a if both are equally old. Either
// may be none.
func (s *shard[V]) older(a, b ref) ref {
	// Ticks wrap around, so only their difference has a sign.
	if a == none || b != none && int16(s.at(b).tick-s.at(a).tick) < 0 {
		return b
	}
	return a
}
