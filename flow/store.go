package flow

// ref names a slot of a store. Slots count from 1.
type ref int32

const none ref = 0

// store is a hash table with open addressing and buckets of two slots, called pairs.
// An entry is in its home pair or, where that was full, in the first later one that was
// not. It stays in its slot until the store grows or shrinks. There is no index beside the
// slots, so most look-ups wait for memory once: with a small value, a pair is two
// neighbouring cache lines, which are read at the same time.
type store[V any] struct {
	slots  []Entry[V]   // slots[r-1] is the slot r
	counts []pairCounts // of pairs of slots; nil: no accounts are kept
	links  []link       // of the slots
	count  int
	notes  []slotNote // of the slots; nil: no accounts are kept
	// untakenSlots is the number of slots of which Take has not returned the whole account.
	untakenSlots int
	ends         uint32 // how many accounts were emptied; it wraps around
}

// link holds the neighbours of an entry in its list of use.
type link struct{ older, newer ref }

func newStore[V any](pairs int) store[V] {
	return store[V]{
		slots: make([]Entry[V], 2*pairs),
		links: make([]link, 2*pairs),
	}
}

func (s *store[V]) pairs() int { return len(s.slots) / 2 }

func (s *store[V]) at(r ref) *Entry[V] { return &s.slots[r-1] }

func (s *store[V]) link(r ref) *link { return &s.links[r-1] }

// homeOf returns the first slot of the home pair of a key with the hash h. It uses other
// bits than the choice of the shard does.
func (s *store[V]) homeOf(h uint64) int {
	return 2 * int(uint64(uint32(h))*uint64(s.pairs())>>32)
}

// after returns the first slot of the pair that follows that of slot i.
func (s *store[V]) after(i int) int {
	if i += 2; i < len(s.slots) {
		return i
	}
	return 0
}

// find returns the slot of the tagged key k, whose hash is h, or none. The way to an
// entry in its home pair has two branches, both of which processors predict well. They
// could not predict in which of the two slots an entry is.
func (s *store[V]) find(h uint64, k *Key) ref {
	i := s.homeOf(h)
	if i+1 >= len(s.slots) {
		return none // there are no slots
	}
	second := 0
	if s.slots[i+1].key.rest == k.rest {
		second = 1
	}
	if s.slots[i+second].key.equal(k) {
		return ref(i + second + 1)
	}
	return s.probe(i, k)
}

// probe returns the slot of the tagged key k from the pair at i on, or none.
func (s *store[V]) probe(i int, k *Key) ref {
	for range s.pairs() {
		for j := i; j < i+2; j++ {
			if s.slots[j].key.equal(k) {
				return ref(j + 1)
			}
		}
		if s.slots[i].overflow == 0 {
			break
		}
		i = s.after(i)
	}
	return none
}

// Load factors in percent: maxLoad of any store, fullLoad of the stores of a full
// table.
const (
	maxLoad  = 62
	fullLoad = 49
)

// full reports whether the store must grow before the next entry.
func (s *store[V]) full() bool { return 100*s.count >= maxLoad*len(s.slots) }

// Where less than a sparseth of minSparse slots or more is in use, the store is sparse.
const (
	sparseth  = 8
	minSparse = 64
)

// sparse reports whether the store takes much more memory than its entries need.
func (s *store[V]) sparse() bool { return len(s.slots) >= minSparse && sparseth*s.count < len(s.slots) }

// insert copies e into a slot. e's key has the hash h and is not in s. s is not
// full.
func (s *store[V]) insert(h uint64, e *Entry[V]) ref {
	for i := s.homeOf(h); ; i = s.after(i) {
		for j := i; j < i+2; j++ {
			if slot := &s.slots[j]; !slot.live() {
				overflow := slot.overflow
				*slot = *e
				slot.overflow = overflow
				s.count++
				return ref(j + 1)
			}
		}
		if first := &s.slots[i]; first.overflow < maxOverflow {
			first.overflow++
		}
	}
}

// clear frees the slot r of an entry with the hash h.
func (s *store[V]) clear(h uint64, r ref) {
	slot := s.at(r)
	*slot = Entry[V]{overflow: slot.overflow}
	s.count--
	if s.counts != nil {
		s.clearAccount(r)
	}
	for i := s.homeOf(h); i != int(r-1)&^1; i = s.after(i) {
		if first := &s.slots[i]; first.overflow < maxOverflow {
			first.overflow--
		}
	}
}

// resized returns a store of so many pairs with the entries of s. moved is by slot of s
// the slot that its entry has now.
func (s *store[V]) resized(pairs int) (t store[V], moved []ref) {
	t = newStore[V](pairs)
	if s.counts != nil {
		t.keepAccounts()
		t.untakenSlots, t.ends = s.untakenSlots, s.ends
	}
	moved = make([]ref, len(s.slots)+1)
	for i := range s.slots {
		if e := &s.slots[i]; e.live() {
			key := e.Key()
			moved[i+1] = t.insert(hashKey.hash(&key), e)
			if s.counts != nil {
				t.moveAccount(moved[i+1], s, ref(i+1))
			}
		}
	}
	for i, l := range s.links {
		if to := moved[i+1]; to != none {
			*t.link(to) = link{moved[l.older], moved[l.newer]}
		}
	}
	return t, moved
}
