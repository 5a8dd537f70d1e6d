package flow

import (
	"math"
	"math/bits"
	"sync/atomic"
)

const (
	// MaxClasses is the number of classes that a Table tells apart.
	MaxClasses = 4
	// Ranks is the number of ranks that a Table tells apart.
	Ranks = 3
)

// Never is the Entry.Expires of an entry that does not expire.
const Never = math.MaxInt64

// DefaultLimit is the limit of a Table whose Config names none.
const DefaultLimit = 1 << 18

// cacheLine is the distance in memory at which processors do not get in each
// other's way.
const cacheLine = 64

const (
	maxShards = 1024
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
	// Refuse makes a full table refuse new entries, but for those of peers that
	// hold less than others: these evict one of theirs. Otherwise it evicts an old
	// entry for each new one.
	Refuse bool
	// Remember is how long, in nanoseconds, LostAt knows of an entry that is gone.
	// 0: it knows of none, and costs no memory.
	Remember int64
}

// Table is a bounded map from Key to V, safe for concurrent use. V must hold
// no pointers if the table is to stay out of the garbage collector's way.
// Memory follows the largest number of entries there ever was; once it is
// there, no operation allocates. Where V takes 8 bytes, a table of a million
// entries that is full takes about 150 for each, and one that has just grown
// 210 at most.
//
// What an operation costs does not depend on how many entries there are, but
// for the insertion for which a shard has to grow. Other operations on the
// shard wait meanwhile, a few hundred nanoseconds for each of its entries, of
// which there are about 2000 at most up to a limit of 2 million.
//
// Time is nanoseconds on any clock that the caller keeps to.
//
// An entry whose time has come is gone for every caller at once; its memory
// is taken back when its key is next asked for, or by the insertions into
// the same shard, each of which looks at a few entries.
//
// A full table that evicts takes, for a new entry of the host's, an entry from
// the shard of the new one: first those that yield, among these the lowest
// rank, among these the one longest unused. If a class is at its own limit,
// only entries of that class are candidates. If the shard has no candidate, the
// others are asked, of which there are 1024 at most. That is only where a class
// is limited to so little that some shards have none of it.
//
// A new entry that is charged to a peer never takes the place of the host's. A
// peer has its share: it gets a place while it holds fewer than are free, in all
// and of the class. Beyond that, its new entry takes the place of one of a peer
// that holds more, as a few slots of the shard tell, or else of one of its own, by
// rank and use as above, or is refused if the shard shows none of these.
//
// Uses that are less than about a second apart count as one.
type Table[V any] struct {
	shards []shard[V]
	shift  uint8 // of a hash, to get the shard's index
	refuse bool
	fullPairs   int             // pairs of slots for a shard's share of a full table
	_      [cacheLine]byte // look-ups only read what is above

	total   quota
	classes [MaxClasses]quota
	shares  *shares
	losses  losses // nil: nobody asks
	// remember is Config's.
	remember int64
	onEvict  func(*Entry[V]) // nil: nobody wants to know

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

	// Changed is added to one of the others if the entry means something
	// else than before: stamps given for it lapse.
	Changed Action = 1 << 7
)

// Stamp is a moment in the life of a part of a Table. It holds until an entry
// of that part is removed or Changed. The zero Stamp never holds. Stamps may
// be asked from any goroutine, and take no lock.
type Stamp struct {
	changes *atomic.Uint32
	seen    uint32
	expires int64
}

// Holds reports whether nothing has changed since.
func (s Stamp) Holds() bool { return s.changes != nil && s.changes.Load() == s.seen }

// Expires returns when the entry that the stamp was given for is gone, unless
// it is used meanwhile: a stamp may hold longer.
func (s Stamp) Expires() int64 { return s.expires }

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
		fullPairs:   100 * (c.Limit >> order) / (2 * fullLoad),
		shares: newShares(),
	}
	if t.remember = c.Remember; t.remember > 0 {
		t.losses = make(losses, lossBuckets)
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
	id := k.ID()
	s := t.shardOf(&id)
	s.mu.Lock()
	if r := s.find(id.hash, &id.key); r != none {
		if e := s.at(r); e.Expires > now {
			v, ok = e.Value, true
		}
	}
	s.mu.Unlock()
	return v, ok
}

// Update calls f with the entry of k, if there is one, and reports whether
// there was. f runs under the shard's lock: it must be short, must not use
// the table, keep the entry or panic. If f neither Changed nor removed the
// entry, the stamp holds for as long as nobody does.
func (t *Table[V]) Update(k Key, now int64, f func(*Entry[V]) Action) (Stamp, bool) {
	id := k.ID()
	return t.UpdateID(&id, now, f)
}

// UpdateID is Update for the key that id was made of. It does not keep id.
func (t *Table[V]) UpdateID(id *ID, now int64, f func(*Entry[V]) Action) (Stamp, bool) {
	if id.IsZero() {
		return Stamp{}, false // or a free slot would do
	}
	// The straight way through here is short, so that a processor that works
	// ahead gets to the memory that the next look-up is to wait for.
	s := t.shardOf(id)
	s.mu.Lock()
	r := s.find(id.hash, &id.key)
	if r == none {
		s.mu.Unlock()
		return Stamp{}, false
	}
	e := s.at(r)
	if e.Expires <= now {
		t.expire(s, r, now)
		s.mu.Unlock()
		return Stamp{}, false
	}
	a := f(e)
	if e.needsUpdate(a, now) {
		t.apply(s, r, now, a)
	}
	var stamp Stamp
	if a == Touch || a == Leave {
		stamp = s.stamp(e.Expires)
	}
	s.mu.Unlock()
	return stamp, true
}

// Upsert calls f with the entry of k, which it makes if there is none: then
// fresh is true, Value is zero, Rank is 0, Expires is Never and the entry has
// the place that c asked for. Upsert returns false, without a call of f, if
// there is no room. The rules for f are those of Update.
func (t *Table[V]) Upsert(k Key, c Claim, now int64, f func(e *Entry[V], fresh bool) Action) bool {
	id := k.ID()
	return t.UpsertID(&id, c, now, f)
}

// UpsertID is Upsert for the key that id, which is not zero, was made of. It
// does not keep id.
func (t *Table[V]) UpsertID(id *ID, c Claim, now int64, f func(e *Entry[V], fresh bool) Action) bool {
	s, h, k := t.shardOf(id), id.hash, &id.key
	s.mu.Lock()
	defer s.mu.Unlock()
	r := t.findLive(s, h, k, now)
	if r != none {
		t.apply(s, r, now, f(s.at(r), false))
		return true
	}
	r, share, fresh := t.reserve(s, h, k, c, now)
	if r == none && !fresh {
		t.refused.Add(1)
		if c.Peer != 0 {
			t.losses.record(id.Key(), now)
		}
		return false
	}
	if fresh {
		r = s.newEntry(t, h, k, c, share, tickOf(now))
	}
	t.apply(s, r, now, f(s.at(r), fresh))
	return true
}

// Delete removes the entry of k and reports whether there was one.
func (t *Table[V]) Delete(k Key) bool {
	id := k.ID()
	s := t.shardOf(&id)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(id.hash, &id.key)
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
		old := s.empty()
		s.mu.Unlock()
		for r := ref(1); int(r) <= len(old.slots); r++ {
			if e := old.at(r); e.live() {
				t.uncount(e)
				f(e.Key(), e.Value)
			}
		}
	}
}

// shardOf returns the shard that id belongs to.
func (t *Table[V]) shardOf(id *ID) *shard[V] { return &t.shards[id.hash>>t.shift] }

// findLive finds k in s, which is locked, and drops it if it has expired.
func (t *Table[V]) findLive(s *shard[V], h uint64, k *Key, now int64) ref {
	r := s.find(h, k)
	if r != none && s.at(r).Expires <= now {
		t.expire(s, r, now)
		return none
	}
	return r
}

// settle does to the entry r of the locked s what its visitor asked for. It
// has nothing to do unless the entry moves.
func (t *Table[V]) apply(s *shard[V], r ref, now int64, a Action) {
	e := s.at(r)
	if a&Changed != 0 {
		s.changes.Add(1)
		if e.share != noShare && !e.EvictFirst {
			t.shares.refund(e.share, e.class())
			e.share = noShare
		}
	}
	if a&^Changed == Remove {
		t.remove(s, r)
	} else if e.changesList(a, now) {
		s.unlink(r)
		e.list, e.tick = e.targetList(), tickOf(now)
		s.pushNewest(r)
	}
}

func (t *Table[V]) remove(s *shard[V], r ref) {
	t.uncount(s.at(r))
	s.remove(r)
}

// free gives back the place of e.
func (t *Table[V]) uncount(e *Entry[V]) {
	t.total.release()
	t.classes[e.class()].release()
	if e.share != noShare {
		t.shares.refund(e.share, e.class())
	}
}

func (t *Table[V]) expire(s *shard[V], r ref, now int64) {
	t.expired.Add(1)
	e := s.at(r)
	if e.share != noShare {
		t.losses.record(e.Key(), min(e.Expires, now))
	}
	t.remove(s, r)
}

// OnEvict has f called with each entry that is evicted. It must be called before
// the table is used. The rules for f are those of Update.
func (t *Table[V]) OnEvict(f func(*Entry[V])) { t.onEvict = f }

// tickOf is the time as the use lists keep it: in units of 2^30 ns.
func tickOf(now int64) uint16 { return uint16(now >> 30) }
