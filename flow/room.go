package flow

import "sync/atomic"

// gauge is a count that does not exceed max.
type gauge struct {
	n   atomic.Int64
	max int64
}

// take adds one and returns true, or changes nothing at the maximum.
func (g *gauge) take() bool {
	for {
		n := g.n.Load()
		if n >= g.max {
			return false
		}
		if g.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// give takes one away.
func (g *gauge) give() { g.n.Add(-1) }

// An insertion looks at sweepSlots for expired entries, or less if it sees
// sweepLive that are not, apart from those longest unused in their class.
const (
	sweepSlots = 8
	sweepLive  = 2
)

// searchYielding is how many other shards are asked for a place for an entry
// that yields. Peers can make such entries in any number.
const searchYielding = 4

// makeRoom claims a place for the key k in s, which is locked. fresh: the
// place is claimed and k is not in the table. If it had to let go of the lock
// meanwhile and somebody else inserted k, it returns that entry. Neither:
// there is no room.
func (t *Table[V]) makeRoom(s *shard[V], h uint64, k *Key, c claimant, now int64) (r ref, fresh bool) {
	t.sweep(s, c.class, now)
	if t.claim(s, c) {
		return none, true
	}
	if t.refuse {
		return none, false
	}
	s.mu.Unlock()
	claimed := t.claimElsewhere(c, h)
	s.mu.Lock()
	if !claimed {
		return none, false
	}
	if r := t.findLive(s, h, k, now); r != none {
		t.total.give()
		t.classes[c.class].give()
		return r, false
	}
	return none, true
}

// claim takes a place in the table's count and in the class's, if need be
// that of an entry of the locked shard s, which it evicts.
func (t *Table[V]) claim(s *shard[V], c claimant) bool {
	if !t.classes[c.class].take() {
		return !t.refuse && t.evict(s, s.oldestOf(c))
	}
	if t.total.take() {
		return true
	}
	if !t.refuse {
		if victim := s.oldest(c); victim != none {
			t.classes[s.at(victim).class()].give()
			return t.evict(s, victim)
		}
	}
	t.classes[c.class].give()
	return false
}

// claimElsewhere is claim on other shards in turn, on all of them unless c
// yields. No lock is held.
func (t *Table[V]) claimElsewhere(c claimant, h uint64) bool {
	n := len(t.shards)
	if c.yields {
		n = min(n, searchYielding)
	}
	for i := range n {
		s := &t.shards[(int(h)+i)&(len(t.shards)-1)]
		s.mu.Lock()
		ok := t.claim(s, c)
		s.mu.Unlock()
		if ok {
			return true
		}
	}
	return false
}

// evict removes the victim from the locked s, without giving back its place,
// which is the new entry's.
func (t *Table[V]) evict(s *shard[V], victim ref) bool {
	if victim == none {
		return false
	}
	t.evicted.Add(1)
	s.remove(victim)
	return true
}

// sweep drops expired entries of the locked s, looking at a few only: the
// longest unused of the class, and those that the shard's hand, going round
// over all slots, comes to.
func (t *Table[V]) sweep(s *shard[V], class uint8, now int64) {
	for group := range uint8(groups) {
		if r := s.lists[listOf(group, class)].oldest; r != none && s.at(r).Expires <= now {
			t.expire(s, r)
		}
	}
	for slots, live := 0, 0; slots < sweepSlots && live < sweepLive && s.count > 0; slots++ {
		s.hand = s.hand%ref(len(s.slots)) + 1
		switch e := s.at(s.hand); {
		case !e.live():
		case e.Expires <= now:
			t.expire(s, s.hand)
		default:
			live++
		}
	}
}
