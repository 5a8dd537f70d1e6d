package flow

import "sync/atomic"

// quota is a count that does not exceed max.
type quota struct {
	n   atomic.Int64
	max int64
}

// acquire adds one to the count and returns true, or returns false at max.
func (q *quota) acquire() bool {
	for {
		n := q.n.Load()
		if n >= q.max {
			return false
		}
		if q.n.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// available returns how many more may be acquired.
func (q *quota) available() int64 { return q.max - q.n.Load() }

// release subtracts one from the count.
func (q *quota) release() { q.n.Add(-1) }

// An insertion sweeps sweepSlots slots for expired entries, or fewer if it meets
// sweepLive entries that have not expired.
const (
	sweepSlots = 8
	sweepLive  = 2
)

// reserve reserves a place for a new entry of the key k in s, which is locked. fresh
// reports whether it did; then share is what the place is charged to. Otherwise r is
// the entry of k that another goroutine made while reserve had unlocked s, or none if
// the table refuses the new entry.
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
	reserved := t.reserveElsewhere(c.Class, h, now)
	s.mu.Lock()
	if !reserved {
		return none, noShare, false
	}
	if r := t.findLive(s, h, k, now); r != none {
		t.total.release()
		t.classes[c.Class].release()
		return r, noShare, false
	}
	return none, noShare, true
}

// reserveForPeer reserves a place for a peer: a free one within its share, or that of
// an entry that it evicts from the locked shard s.
func (t *Table[V]) reserveForPeer(s *shard[V], c Claim, now int64) (share shareIndex, ok bool) {
	share, full := t.shares.charge(c.Peer, c.Class, t.total.available(), t.classes[c.Class].available())
	if full == notFull {
		if t.classes[c.Class].acquire() {
			if t.total.acquire() {
				return share, true
			}
			t.classes[c.Class].release()
		}
		full = isFull // other goroutines took the last place
	}
	if t.evictForPeer(s, share, c.Class, full == isFullOfClass, now) {
		return share, true
	}
	t.shares.refund(share, c.Class)
	return noShare, false
}

// evictForPeer evicts an entry of the locked s for a new one, which is charged to the
// share already and gets its place. It evicts an entry of a peer that holds more, or
// else one of the share itself, unless the table refuses; of the class if ofClass. It
// reports whether it did.
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

// sampleSlots is how many slots largestShare samples. The more entries a peer holds,
// the surer the sample has one, however recently the peer used them.
const sampleSlots = 32

// largestShare returns the largest share in a sample of the locked s, and an entry that
// is charged to it; of the class if ofClass. If none is larger than the share than, it
// returns than and none.
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

// reserveForHost reserves a place for the host, in the table's quota and in that of the
// class: a free one, or that of an entry that it evicts from the locked shard s.
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

// reserveElsewhere reserves a place for the host by evicting an entry from any shard. It
// locks the shards in turn; the caller holds no lock.
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

// evict removes the victim from the locked s and reports whether there was one. It does
// not release the victim's place, which a new entry gets.
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
	if t.onForget != nil {
		t.onForget(e, now)
	}
	s.end(victim, now)
	s.remove(victim)
	return true
}

// sweep removes expired entries of the locked s. It looks at a few only: the longest
// unused ones of the class, and those in the next slots from the shard's hand on, which
// goes round all slots as in the clock algorithm.
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

// Expire removes all expired entries, and frees the memory of shards that have few left.
// It locks one shard at a time, for about 5 ns for each of its slots. Expired entries are
// gone for everybody without it; their ends are told as soon as Expire comes by.
func (t *Table[V]) Expire(now int64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for r := ref(1); int(r) <= len(s.slots); r++ {
			if e := s.at(r); e.live() && e.Expires <= now {
				t.expire(s, r, now)
			}
		}
		s.shrink()
		s.mu.Unlock()
	}
}
