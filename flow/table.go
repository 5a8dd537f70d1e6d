package flow

import (
	"hash/maphash"
	"math"
	"math/bits"
	"sync/atomic"
)

const (
	// MaxClasses is the number of classes that a Table tells apart.
	MaxClasses = 4
	// Yielding is added to a class for an entry that yields: see Table.
	Yielding = MaxClasses
	// Ranks is the number of ranks that a Table tells apart.
	Ranks = 3
)

// Never is the Entry.Expires of an entry that does not expire.
const Never = math.MaxInt64

// DefaultLimit is the limit of a Table whose Config names none.
const DefaultLimit = 1 << 18

const (
	maxShards = 128
	// perShard is the least share of the limit that is worth a shard of
	// its own.
	perShard = 1024
)

// Config says how much a Table may hold.
type Config struct {
	// Limit is the number of entries that the table never exceeds.
	// 0 or less: DefaultLimit.
	Limit int
	// Classes are limits of single classes, below Limit. 0 or less: the
	// class has none of its own.
	Classes [MaxClasses]int
	// Refuse makes a full table refuse new entries. Otherwise it evicts an
	// old entry for each new one.
	Refuse bool
}

// Table is a bounded map from Key to V, safe for concurrent use. V must hold
// no pointers if the table is to stay out of the garbage collector's way.
// Memory follows the largest number of entries there ever was; once it is
// there, no operation allocates.
//
// Time is nanoseconds on any clock that the caller keeps to.
//
// An entry whose time has come is gone for every caller at once; its memory
// is taken back when its key is next asked for, or by the insertions into
// the same shard, each of which looks at a few entries.
//
// A full table that evicts takes an entry from the shard of the new one:
// first those that yield, among these the lowest rank, among these the one
// longest unused. If a class is at its own limit, only entries of that class
// are candidates. A new entry that yields evicts only entries that yield, so
// it is refused where there are none.
//
// If the shard has no candidate, others are asked: for a new entry that
// yields a few, for others all of them, of which there are 128 at most. That
// is only where a class is limited to so little, or consists of so little
// that may be evicted, that some shards have none of it.
//
// Uses that are less than about a second apart count as one.
type Table[V any] struct {
	shards  []shard[V]
	shift   uint8 // of a hash, to get the shard's index
	refuse  bool
	seed    maphash.Seed
	total   gauge
	classes [MaxClasses]gauge

	evicted, expired, refused atomic.Uint64
}

// Action is what becomes of an entry after a look at it.
type Action uint8

const (
	// Touch keeps the entry and counts as a use.
	Touch Action = iota
	// Leave keeps the entry, with the changes made, and is no use of it.
	Leave
	// Remove takes the entry out.
	Remove
)

// Stats is a snapshot of a Table's counters.
type Stats struct {
	Entries int    // held now, with those idle that nobody has looked at yet
	Evicted uint64 // given up for new ones
	Expired uint64 // removed because their time had come
	Refused uint64 // not taken because the table was full
}

// New returns an empty table. It allocates next to nothing until entries
// come.
func New[V any](c Config) *Table[V] {
	if c.Limit <= 0 {
		c.Limit = DefaultLimit
	}
	c.Limit = min(c.Limit, math.MaxInt32)
	n := min(max(c.Limit/perShard, 1), maxShards)
	order := bits.Len(uint(n)) - 1 // a power of two, rounded down
	t := &Table[V]{
		shards: make([]shard[V], 1<<order),
		shift:  uint8(64 - order),
		refuse: c.Refuse,
		seed:   maphash.MakeSeed(),
	}
	t.total.max = int64(c.Limit)
	for i, limit := range c.Classes {
		t.classes[i].max = math.MaxInt64
		if limit > 0 {
			t.classes[i].max = int64(limit)
		}
	}
	return t
}

// Len returns the number of entries. Idle ones that nobody has looked at yet
// are among them.
func (t *Table[V]) Len() int { return int(t.total.n.Load()) }

// Stats returns the table's counters.
func (t *Table[V]) Stats() Stats {
	return Stats{
		Entries: t.Len(),
		Evicted: t.evicted.Load(),
		Expired: t.expired.Load(),
		Refused: t.refused.Load(),
	}
}

// Peek returns the value of k without counting as a use.
func (t *Table[V]) Peek(k Key, now int64) (v V, ok bool) {
	s, h := t.locate(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(h, k)
	if r == none {
		return v, false
	}
	e := s.at(r)
	if e.Expires <= now {
		return v, false
	}
	return e.Value, true
}

// Update calls f with the entry of k, if there is one, and reports whether
// there was. f runs under the shard's lock: it must be short, must not use
// the table and must not keep the entry.
func (t *Table[V]) Update(k Key, now int64, f func(*Entry[V]) Action) bool {
	s, h := t.locate(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := t.findLive(s, h, k, now)
	if r == none {
		return false
	}
	t.settle(s, r, now, f(s.at(r)))
	return true
}

// Upsert calls f with the entry of k, which it makes if there is none: then
// fresh is true, Value is zero, Rank is 0, Expires is Never and the entry is
// of the given class, which stays. Upsert returns false, without a call of f,
// if there is no room. The rules for f are those of Update. class must be
// less than MaxClasses, to which Yielding may be added.
func (t *Table[V]) Upsert(k Key, class uint8, now int64, f func(e *Entry[V], fresh bool) Action) bool {
	s, h := t.locate(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := t.findLive(s, h, k, now)
	if r != none {
		t.settle(s, r, now, f(s.at(r), false))
		return true
	}
	c := claimant{class: class % MaxClasses, yields: class >= Yielding}
	r, fresh := t.makeRoom(s, h, k, c, now)
	if r == none && !fresh {
		t.refused.Add(1)
		return false
	}
	if fresh {
		r = s.insert(h, k, c, tickOf(now))
	}
	t.settle(s, r, now, f(s.at(r), fresh))
	return true
}

// Delete removes the entry of k and reports whether there was one.
func (t *Table[V]) Delete(k Key) bool {
	s, h := t.locate(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(h, k)
	if r == none {
		return false
	}
	t.remove(s, r)
	return true
}

// Drain takes every entry out of the table and hands it to f, outside of any
// lock. Of changes made meanwhile by others, each is seen either by this
// Drain or by the next one, never by both or none. It frees the table's
// memory. The order is arbitrary; idle entries are handed out too.
func (t *Table[V]) Drain(f func(Key, V)) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		old := s.slab
		s.reset()
		s.mu.Unlock()
		for r := ref(1); r <= old.used; r++ {
			if e := old.at(r); e.live {
				t.total.give()
				t.classes[e.class].give()
				f(e.key, e.Value)
			}
		}
	}
}

func (t *Table[V]) locate(k Key) (*shard[V], uint32) {
	h := maphash.Comparable(t.seed, k)
	return &t.shards[h>>t.shift], uint32(h)
}

// findLive finds k in s, which is locked, and drops it if it has expired.
func (t *Table[V]) findLive(s *shard[V], h uint32, k Key, now int64) ref {
	r := s.find(h, k)
	if r != none && s.at(r).Expires <= now {
		t.expire(s, r)
		return none
	}
	return r
}

// settle does to the entry r of the locked s what its visitor asked for.
func (t *Table[V]) settle(s *shard[V], r ref, now int64, a Action) {
	if a == Remove {
		t.remove(s, r)
		return
	}
	e := s.at(r)
	if want := e.listed(); want != e.list || a == Touch && e.tick != tickOf(now) {
		s.unlist(r)
		e.list = want
		e.tick = tickOf(now)
		s.enlist(r)
	}
}

func (t *Table[V]) remove(s *shard[V], r ref) {
	t.total.give()
	t.classes[s.at(r).class].give()
	s.remove(r)
}

func (t *Table[V]) expire(s *shard[V], r ref) {
	t.expired.Add(1)
	t.remove(s, r)
}

// tickOf is the time as the use lists keep it: in units of 2^30 ns.
func tickOf(now int64) uint32 { return uint32(now >> 30) }
