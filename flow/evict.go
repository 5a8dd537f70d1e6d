package flow

import "sync/atomic"

// gauge is a count that does not exceed max.
type quota struct {
	n   atomic.Int64
	max int64
}

// take adds one and returns true, or changes nothing at the maximum.
func (g *quota) acquire() bool {
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

// free is how many there may be more.
func (g *quota) available() int64 { return g.max - g.n.Load() }

// give takes one away.
func (g *quota) release() { g.n.Add(-1) }

// An insertion looks at sweepSlots for expired entries, or less if it sees
// sweepLive that are not, apart from those longest unused in their class.
const (
	sweepSlots = 8
	sweepLive  = 2
)

// makeRoom claims a place for the key k in s, which is locked. fresh: the
// place is claimed, and charged to share, and k is not in the table. If it had
// to let go of the lock meanwhile and somebody else inserted k, it returns that
// entry. Neither: there is no room.
func (t *Table[V]) reserve(s *shard[V], h uint64, k *Key, c Claim, now int64) (r ref, share shareIndex, fresh bool) {
	t.sweep(s, c.Class, now)
	if c.Peer != 0 {
		share, fresh = t.reserveForPeer(s, c, now)
		return none, share, fresh
	}
	if t.reserveForHost(s, c.Class, now) {
		return none, noShare, true
	}
	if t.refuse {
		return none, noShare, false
	}
	s.mu.Unlock()
	claimed := t.reserveElsewhere(c.Class, h, now)
	s.mu.Lock()
	if !claimed {
		return none, noShare, false
	}
	if r := t.findLive(s, h, k, now); r != none {
		t.total.release()
		t.classes[c.Class].release()
		return r, noShare, false
	}
	return none, noShare, true
}

// claimShare takes a place for a peer: a new one within its share, or that of an
// entry in the locked shard s.
func (t *Table[V]) reserveForPeer(s *shard[V], c Claim, now int64) (share shareIndex, ok bool) {
	share, full := t.shares.charge(c.Peer, c.Class, t.total.available(), t.classes[c.Class].available())
	if full == notFull {
		if t.classes[c.Class].acquire() {
			if t.total.acquire() {
				return share, true
			}
			t.classes[c.Class].release()
		}
		full = isFull // others were quicker
	}
	if t.evictForPeer(s, share, c.Class, full == isFullOfClass, now) {
		return share, true
	}
	t.shares.refund(share, c.Class)
	return noShare, false
}

// replace evicts an entry from the locked s for another one of the share, which
// is charged for it already and gets its place: an entry of a peer that holds
// more, or else, unless the table refuses, one of the share itself; of the class
// if ofClass.
func (t *Table[V]) evictForPeer(s *shard[V], share shareIndex, class uint8, ofClass bool, now int64) bool {
	from, victim := t.largestShare(s, share, class, ofClass)
	if from == share && t.refuse {
		return false
	}
	if r := s.oldestOfShare(from, class, ofClass); r != none {
		victim = r
	}
	if victim == none {
		return false
	}
	e := s.at(victim)
	if e.class() != class {
		if !t.classes[class].acquire() {
			return false
		}
		t.classes[e.class()].release()
	}
	return t.evict(s, victim, now)
}

// sampleSlots is how many slots are looked at for a peer that holds much: the
// more it holds, the surer it is found, however often it uses what it has.
const sampleSlots = 32

// richest returns the share that holds most of those that a few slots of the
// locked s belong to, and an entry of it; of the class if ofClass. If none holds
// more than the given one, it is that, with no entry.
func (t *Table[V]) largestShare(s *shard[V], than shareIndex, class uint8, ofClass bool) (share shareIndex, r ref) {
	if !ofClass && t.shares.holdsHalf(than, t.Len()) {
		return than, none
	}
	var found [sampleSlots]shareIndex
	n := min(sampleSlots, len(s.slots))
	slot := func(i int) ref { return ref((int(s.hand)+i)%len(s.slots) + 1) }
	for i := range n {
		if e := s.at(slot(i)); e.live() && e.EvictFirst && (!ofClass || e.class() == class) {
			found[i] = e.share
		}
	}
	i := t.shares.largest(than, found[:n], class, ofClass)
	if i < 0 {
		return than, none
	}
	return found[i], slot(i)
}

// claim takes a place for the host in the table's count and in the class's, if
// need be that of an entry of the locked shard s, which it evicts.
func (t *Table[V]) reserveForHost(s *shard[V], class uint8, now int64) bool {
	if !t.classes[class].acquire() {
		return !t.refuse && t.evict(s, s.oldestOf(class), now)
	}
	if t.total.acquire() {
		return true
	}
	if !t.refuse {
		if victim := s.oldest(); victim != none {
			t.classes[s.at(victim).class()].release()
			return t.evict(s, victim, now)
		}
	}
	t.classes[class].release()
	return false
}

// claimElsewhere is claim on the other shards in turn. No lock is held.
func (t *Table[V]) reserveElsewhere(class uint8, h uint64, now int64) bool {
	for i := range t.shards {
		s := &t.shards[(int(h)+i)&(len(t.shards)-1)]
		s.mu.Lock()
		ok := t.reserveForHost(s, class, now)
		s.mu.Unlock()
		if ok {
			return true
		}
	}
	return false
}

// evict removes the victim from the locked s, without giving back its place,
// which is a new entry's.
func (t *Table[V]) evict(s *shard[V], victim ref, now int64) bool {
	if victim == none {
		return false
	}
	t.evicted.Add(1)
	e := s.at(victim)
	if e.share != noShare {
		t.losses.record(e.Key(), now)
		t.shares.refund(e.share, e.class())
	}
	if t.onEvict != nil {
		t.onEvict(e)
	}
	s.remove(victim)
	return true
}

// sweep drops expired entries of the locked s, looking at a few only: the
// longest unused of the class, and those that the shard's hand, going round
// over all slots, comes to.
func (t *Table[V]) sweep(s *shard[V], class uint8, now int64) {
	for group := range uint8(groups) {
		if r := s.lists[listOf(group, class)].oldest; r != none && s.at(r).Expires <= now {
			t.expire(s, r, now)
		}
	}
	for slots, live := 0, 0; slots < sweepSlots && live < sweepLive && s.count > 0; slots++ {
		s.hand = s.hand%ref(len(s.slots)) + 1
		switch e := s.at(s.hand); {
		case !e.live():
		case e.Expires <= now:
			t.expire(s, s.hand, now)
		default:
			live++
		}
	}
}
