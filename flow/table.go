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

// cacheLine is the length in bytes of a cache line of most processors.
const cacheLine = 64

const (
	maxShards = 1024
	// perShard is the least number of entries for which a table makes another
	// shard.
	perShard = 1024
)

// Config says how much a Table may hold.
type Config struct {
	// Limit is the number of entries that the table never exceeds.
	// 0 or less: DefaultLimit.
	Limit int
	// Classes are limits of single classes, below Limit. 0 or less: the
	// class has no limit of its own.
	Classes [MaxClasses]int
	// Refuse makes a full table refuse new entries, except those of peers that
	// hold less than others: these evict an entry of a peer that holds more.
	// Without it, each new entry evicts an old one.
	Refuse bool
	// Remember is for how long, in nanoseconds, LostAt reports an entry that was
	// evicted, expired or refused. 0: it reports none, and costs no memory.
	Remember int64
}

// Table is a bounded map from Key to V, safe for concurrent use. If V holds no
// pointers, the garbage collector does not scan the table. Memory grows with the
// number of entries, and is given back when an eighth of them is left. Where V takes 8
// bytes, a full table of a million entries takes about 150 bytes for each, and one that
// has just grown 210 at most.
//
// The cost of an operation does not depend on the number of entries, except of an
// insertion that makes a shard grow or shrink, which nothing else allocates for. Other
// operations on the shard wait meanwhile, a few hundred nanoseconds for each of its
// entries, of which there are about 2000 at most up to a limit of 2 million.
//
// Times are nanoseconds of one clock, of the caller's choice.
//
// An expired entry is gone for every caller at once. Its memory is freed when its key
// is next looked up, or by insertions into the same shard, each of which sweeps a few
// slots.
//
// In a full table that evicts, a new entry of the host's evicts an entry of its own
// shard: of those with EvictFirst, or else of all, those of the lowest rank, and of
// these the one longest unused. If a class is at its own limit, only entries of that
// class are candidates. If the shard has no candidate, the other shards are searched,
// of which there are 1024 at most. That happens only where a class has so low a limit
// that some shards have no entry of it.
//
// A new entry that is charged to a peer never evicts one of the host's. A peer gets a
// free place while it holds fewer than are free, in all and of the class. Beyond that,
// its new entry evicts one of a peer that holds more, which is found by a sample of the
// shard, or else one of its own, by rank and use as above. If the shard has none of
// these, the new entry is refused.
//
// Uses that are less than about a second apart count as one.
type Table[V any] struct {
	shards    []shard[V]
	shift     uint8 // of a hash, to get the shard's index
	refuse    bool
	fullPairs int             // pairs of slots for a shard's share of a full table
	_         [cacheLine]byte // look-ups read only what is above

	total   quota
	classes [MaxClasses]quota
	shares  *shares
	losses  losses // nil: no losses are recorded
	// remember is Config.Remember.
	remember int64
	onForget func(e *Entry[V], now int64) // nil: nothing is called

	snapshot  atomic.Pointer[Snapshot[V]] // the one that began and is not collected; nil: none
	snapshots atomic.Uint64

	evicted, expired, refused atomic.Uint64
}

// Action says what Update and Upsert do with an entry after the call of their
// function.
type Action uint8

const (
	// Touch keeps the entry and counts as a use.
	Touch Action = iota
	// Leave keeps the entry with the changes made, and does not count as a use.
	Leave
	// Remove removes the entry.
	Remove

	// Changed is added to one of the others if the entry's meaning changed. The
	// stamps that were given for it do not hold any longer.
	Changed Action = 1 << 7
	// Count is added if the Counting of UpdateID is to be counted. Others leave it.
	Count Action = 1 << 6
)

// Stamp tells whether an entry is as it was when the stamp was made. It holds until an
// entry of the same shard is removed or Changed. The zero Stamp does not hold. Its
// methods may be called from any goroutine, and take no lock.
type Stamp struct {
	changes *atomic.Uint32
	seen    uint32
	expires int64
}

// Holds reports whether no entry of the shard was removed or Changed since s was made.
func (s Stamp) Holds() bool { return s.changes != nil && s.changes.Load() == s.seen }

// Expires returns when the entry of s expires if it is not used meanwhile. s may hold
// longer.
func (s Stamp) Expires() int64 { return s.expires }

// Stats is a snapshot of a Table's counters.
type Stats struct {
	Entries int    // held now, with expired ones whose memory is not freed yet
	Evicted uint64 // removed for new ones
	Expired uint64 // removed because they had expired
	Refused uint64 // not added because the table was full
}

// New returns an empty table. It allocates next to nothing before the first entry.
func New[V any](c Config) *Table[V] {
	if c.Limit <= 0 {
		c.Limit = DefaultLimit
	}
	c.Limit = min(c.Limit, math.MaxInt32)
	n := min(max(c.Limit/perShard, 1), maxShards)
	order := bits.Len(uint(n)) - 1 // a power of two, rounded down
	t := &Table[V]{
		shards:    make([]shard[V], 1<<order),
		shift:     uint8(64 - order),
		refuse:    c.Refuse,
		fullPairs: 100 * (c.Limit >> order) / (2 * fullLoad),
		shares:    newShares(),
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

// Len returns the number of entries, with expired ones whose memory is not freed yet.
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

// Peek returns the value of k. ok is false, and v zero, if there is none. Peek does not
// count as a use.
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

// Update calls f with the entry of k, if there is one, and reports whether there was. f
// runs under the shard's lock: it must be short, and must not use the table, keep the
// entry or panic. If f returns neither Changed nor Remove, the stamp holds until another
// call does. Otherwise it is zero.
func (t *Table[V]) Update(k Key, now int64, f func(*Entry[V]) Action) (Stamp, bool) {
	id := k.ID()
	return t.UpdateID(&id, now, nil, f)
}

// UpdateID calls f with the entry of id's key, under the rules of Update, and counts c, if
// that is not nil, as f says. It does not keep id. Of the zero ID there is no entry.
func (t *Table[V]) UpdateID(id *ID, now int64, c *Counting, f func(*Entry[V]) Action) (Stamp, bool) {
	if id.IsZero() {
		return Stamp{}, false // its key would match a free slot
	}
	// The most frequent way through is short, so that a processor that executes
	// out of order gets to the memory that the next look-up will wait for.
	s := t.shardOf(id)
	s.mu.Lock()
	s.fetchCounts(id.hash)
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
	if a&Count != 0 {
		a &^= Count
		if c != nil && s.counts != nil {
			if snap := t.snapshot.Load(); snap != nil {
				s.copyFor(snap)
			}
			s.countIn(r, id.hash, c, now)
		}
	}
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

// Upsert calls f with the entry of k, which it makes if there is none. A fresh entry is
// charged as c says; its Value is zero, its Rank 0 and its Expires Never. Upsert returns
// false, and does not call f, if the table refuses the entry. The rules for f are those
// of Update.
func (t *Table[V]) Upsert(k Key, c Claim, now int64, f func(e *Entry[V], fresh bool) Action) bool {
	id := k.ID()
	return t.UpsertID(&id, c, now, f)
}

// UpsertID calls f with the entry of id's key, under the rules of Upsert. id must not be
// zero. UpsertID does not keep it.
func (t *Table[V]) UpsertID(id *ID, c Claim, now int64, f func(e *Entry[V], fresh bool) Action) bool {
	s, h, k := t.shardOf(id), id.hash, &id.key
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copyFor(t.snapshot.Load())
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
	if s.counts != nil {
		s.end(r, s.account(r).Last)
	}
	t.remove(s, r)
	return true
}

// Drain removes every entry and calls f with it, outside of any lock. A change that
// another goroutine makes meanwhile is seen either by this Drain or by the next one,
// never by both or none. Drain frees the table's memory. The order is arbitrary; expired
// entries are among those that f gets.
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

// findLive returns the entry of k in the locked s, or none. It removes an expired one.
func (t *Table[V]) findLive(s *shard[V], h uint64, k *Key, now int64) ref {
	r := s.find(h, k)
	if r != none && s.at(r).Expires <= now {
		t.expire(s, r, now)
		return none
	}
	return r
}

// apply applies the action a to the entry r of the locked s. The caller may leave
// it out where needsUpdate is false.
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
		s.end(r, now)
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

// uncount takes e off the quotas and off its share.
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
	if t.onForget != nil {
		t.onForget(e, now)
	}
	s.end(r, now)
	t.remove(s, r)
}

// OnForget makes the table call f with each entry that it evicts, or that has expired, at
// now. It must be called
// before the table is used. The rules for f are those of Update.
func (t *Table[V]) OnForget(f func(e *Entry[V], now int64)) { t.onForget = f }

// tickOf returns a time in the unit of the lists of use, 2^30 ns.
func tickOf(now int64) uint16 { return uint16(now >> 30) }
