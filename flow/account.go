package flow

import (
	"math"
	"slices"
)

// Counts is what a flow has carried, as the host sees it: it sent Tx and got Rx.
type Counts struct {
	TxPackets, TxBytes, RxPackets, RxBytes uint64
}

// Add returns the sums of c and other.
func (c Counts) Add(other Counts) Counts {
	return Counts{c.TxPackets + other.TxPackets, c.TxBytes + other.TxBytes, c.RxPackets + other.RxPackets, c.RxBytes + other.RxBytes}
}

// Sub returns c less other, which was counted before it.
func (c Counts) Sub(other Counts) Counts {
	return Counts{c.TxPackets - other.TxPackets, c.TxBytes - other.TxBytes, c.RxPackets - other.RxPackets, c.RxBytes - other.RxBytes}
}

// Has reports whether c is at least other in all.
func (c Counts) Has(other Counts) bool {
	return c.TxPackets >= other.TxPackets && c.TxBytes >= other.TxBytes && c.RxPackets >= other.RxPackets && c.RxBytes >= other.RxBytes
}

// Note is what the caller of a Table notes of an entry when its flow begins or is
// admitted anew.
type Note struct {
	Peer   PeerID // whose the other side is
	Policy uint32 // number of the rules that let the flow in
	Audit  uint8  // what other rules say of it; the caller's code
}

// Account is what a Table keeps of an entry beside its value, once KeepAccounts was
// called.
type Account struct {
	Counts
	First, Last int64 // when the flow was noted or first added to, and last added to
	Note
}

// The accounts of a store are in two arrays beside its slots, which only exist if
// accounts are kept. What changes with each packet is in pairCounts, of which a pair of
// slots has one: a cache line, whose place is known before that of the entry.
type pairCounts struct {
	last    [2]int64     // 0: the account is empty; negative: Take has not returned all of it
	bytes   [2][2]uint64 // by slot and direction
	packets [2][2]uint32 // the lower 32 bits
}

// slotNote is the rest of an account.
type slotNote struct {
	first int64
	ends  uint32    // of the store, when the account began
	high  [2]uint16 // bits 32 to 47 of packets, by direction
	taken Counts    // what Take has returned
	note  Note
}

// Directions as accounts number them.
const (
	tx = 0
	rx = 1
)

// keepAccounts makes the accounts of the store.
func (s *store[V]) keepAccounts() {
	s.counts = make([]pairCounts, s.pairs())
	s.notes = make([]slotNote, len(s.slots))
	s.untakenSlots = 0
}

// fetchCounts reads the counts of the home pair of a key with the hash h, so that the
// processor has them when they are added to: it waits for them while it waits for the
// entry.
func (s *store[V]) fetchCounts(h uint64) {
	if i := int(uint64(uint32(h)) * uint64(len(s.counts)) >> 32); i < len(s.counts) && s.counts[i].last[0] == math.MinInt64 {
		s.counts[i].last[0] = 0 // never: no time is so late
	}
}

// hasAccount reports whether the account of slot r is not empty.
func (s *store[V]) hasAccount(r ref) bool { return s.counts[(r-1)/2].last[(r-1)%2] != 0 }

// add adds to the account of slot r.
func (s *store[V]) add(r ref, in bool, packets, bytes uint64, now int64) {
	i := uint32(r - 1)
	c, slot, way := &s.counts[i/2], i%2, tx
	if in {
		way = rx
	}
	if c.last[slot] >= 0 {
		s.untakenSlots++
		if c.last[slot] == 0 {
			s.notes[i].first, s.notes[i].ends = now, s.ends
		}
	}
	c.last[slot] = min(-now, -1)
	c.bytes[slot][way] += bytes
	sum := uint64(c.packets[slot][way]) + packets
	c.packets[slot][way] = uint32(sum)
	if sum>>32 != 0 {
		s.notes[i].high[way] += uint16(sum >> 32)
	}
}

// account returns the account of slot r.
func (s *store[V]) account(r ref) Account {
	n := &s.notes[r-1]
	return Account{Counts: s.countsOf(r), First: n.first, Last: s.lastOf(r), Note: n.note}
}

// lastOf returns when slot r was last added to.
func (s *store[V]) lastOf(r ref) int64 {
	last := s.counts[(r-1)/2].last[(r-1)%2]
	return max(last, -last)
}

func (s *store[V]) countsOf(r ref) Counts {
	c, slot, n := &s.counts[(r-1)/2], (r-1)%2, &s.notes[r-1]
	return Counts{
		TxPackets: uint64(n.high[tx])<<32 | uint64(c.packets[slot][tx]),
		TxBytes:   c.bytes[slot][tx],
		RxPackets: uint64(n.high[rx])<<32 | uint64(c.packets[slot][rx]),
		RxBytes:   c.bytes[slot][rx],
	}
}

// setCounts makes n the counts of slot r.
func (s *store[V]) setCounts(r ref, n Counts) {
	c, slot := &s.counts[(r-1)/2], (r-1)%2
	c.bytes[slot] = [2]uint64{tx: n.TxBytes, rx: n.RxBytes}
	c.packets[slot] = [2]uint32{tx: uint32(n.TxPackets), rx: uint32(n.RxPackets)}
	s.notes[r-1].high = [2]uint16{tx: uint16(n.TxPackets >> 32), rx: uint16(n.RxPackets >> 32)}
}

// putAccount makes a the account of slot r, which has none, and of which Take has not
// returned untaken.
func (s *store[V]) putAccount(r ref, a *Account, untaken Counts) {
	c, slot, n := &s.counts[(r-1)/2], (r-1)%2, &s.notes[r-1]
	s.setCounts(r, a.Counts)
	c.last[slot] = max(a.Last, 1)
	if untaken != (Counts{}) {
		c.last[slot] = -c.last[slot]
		s.untakenSlots++
	}
	n.first, n.ends, n.taken, n.note = a.First, s.ends, a.Counts.Sub(untaken), a.Note
}

// clearAccount empties the account of slot r.
func (s *store[V]) clearAccount(r ref) {
	c, slot := &s.counts[(r-1)/2], (r-1)%2
	if c.last[slot] < 0 {
		s.untakenSlots--
	}
	s.ends++
	c.last[slot], c.bytes[slot], c.packets[slot] = 0, [2]uint64{}, [2]uint32{}
	s.notes[r-1] = slotNote{}
}

// moveAccount moves the account of slot from of the store s to the slot to of t, whose
// account is empty. It does not count the slot in t.untakenSlots.
func (t *store[V]) moveAccount(to ref, s *store[V], from ref) {
	a, i := &t.counts[(to-1)/2], (to-1)%2
	b, j := &s.counts[(from-1)/2], (from-1)%2
	a.last[i], a.bytes[i], a.packets[i] = b.last[j], b.bytes[j], b.packets[j]
	t.notes[to-1] = s.notes[from-1]
}

// Accounts is who keeps the accounts of a Table. Its functions run under a shard's
// lock, under the rules for f of Update, and must not keep the Record.
type Accounts[V any] struct {
	// Began, which may be nil, is told of each flow that begins, and was not counted
	// elsewhere before.
	Began func(*Record[V])
	// Ended is told of each flow that ends at now. untaken is what Take has not
	// returned of its account.
	Ended func(r *Record[V], untaken Counts, now int64)
	// Adopt, which may be nil, returns the account of a flow that begins in the
	// Table, and what Take has not returned of it, if it has been counted elsewhere
	// before.
	Adopt func(ID) (a Account, untaken Counts, ok bool)
}

// KeepAccounts makes the table keep an account of each entry from now on.
func (t *Table[V]) KeepAccounts(a *Accounts[V]) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.keeper = a
		s.keepAccounts()
		s.place()
		s.mu.Unlock()
	}
}

// DropAccounts ends KeepAccounts, and calls f with each account, outside of any lock, and
// with what Take has not returned of it. Nothing that is added meanwhile is lost: AddID
// says that there is no account. It returns what UpdateID has counted since KeepAccounts.
func (t *Table[V]) DropAccounts(f func(r *Record[V], untaken Counts)) (counted Counts) {
	type dropped struct {
		Record[V]
		untaken Counts
	}
	for i := range t.shards {
		var all []dropped
		s := &t.shards[i]
		s.mu.Lock()
		s.copyFor(t.snapshot.Load())
		for r := ref(1); int(r) <= len(s.notes); r++ {
			if s.at(r).live() && s.hasAccount(r) {
				all = append(all, dropped{s.record(r), s.untaken(r)})
			}
		}
		s.counts, s.notes, s.keeper, s.untakenSlots = nil, nil, nil, 0
		s.ends++
		counted, s.counted = counted.Add(s.counted), Counts{}
		s.place()
		s.mu.Unlock()
		for i := range all {
			f(&all[i].Record, all[i].untaken)
		}
	}
	return counted
}

// PutAccount makes a new entry of id's key with an account that was kept elsewhere, of
// which Take has not returned untaken. It does nothing and returns false where there is
// no room, or an entry with an account already. expires is the entry's.
func (t *Table[V]) PutAccount(id *ID, c Claim, a *Account, untaken Counts, expires, now int64) (put bool) {
	t.UpsertID(id, c, now, func(e *Entry[V], fresh bool) Action {
		if fresh {
			e.Expires = expires
		}
		return Leave
	})
	s := t.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(id.hash, &id.key)
	if r == none || s.counts == nil || s.hasAccount(r) {
		return false
	}
	s.copyFor(t.snapshot.Load())
	s.putAccount(r, a, untaken)
	return true
}

// TakeAccount removes the entry of id's key, if there is one, and returns its account.
// Accounts.Ended is not told.
func (t *Table[V]) TakeAccount(id *ID) (a Account, untaken Counts, ok bool) {
	s := t.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(id.hash, &id.key)
	if r == none || s.counts == nil || !s.hasAccount(r) {
		return Account{}, Counts{}, false
	}
	s.copyFor(t.snapshot.Load())
	a, untaken = s.account(r), s.untaken(r)
	t.remove(s, r)
	return a, untaken, true
}

// AddID adds packets, of so many bytes in all and seen at now, to the account of id's
// entry, and reports whether there is one. It is no use of the entry.
func (t *Table[V]) AddID(id *ID, in bool, packets, bytes uint64, now int64) bool {
	if id.IsZero() {
		return false
	}
	s := t.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(id.hash, &id.key)
	if r == none || s.counts == nil {
		return false
	}
	s.copyFor(t.snapshot.Load())
	s.add(r, in, packets, bytes, now)
	return true
}

// NoteID notes n of id's entry, if there is one, of which a flow begins: the account of
// the one before, if there was any, ends. before is the value that the entry had then.
func (t *Table[V]) NoteID(id *ID, n Note, before V, now int64) {
	s := t.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(id.hash, &id.key)
	if r == none || s.counts == nil {
		return
	}
	if s.hasAccount(r) {
		old := s.record(r)
		old.Value = before
		s.keeper.Ended(&old, s.untaken(r), now)
		s.clearAccount(r)
	}
	a, untaken, adopted := Account{First: now, Last: now}, Counts{}, false
	if s.keeper.Adopt != nil {
		if old, u, ok := s.keeper.Adopt(*id); ok {
			a, untaken, adopted = old, u, true
		}
	}
	if adopted {
		s.copyFor(t.snapshot.Load())
	}
	a.Note = n
	s.putAccount(r, &a, untaken)
	if !adopted && s.keeper.Began != nil {
		began := s.record(r)
		s.keeper.Began(&began)
	}
}

// AdmitID notes that the rules with the given number let the flow of id's entry go on.
func (t *Table[V]) AdmitID(id *ID, policy uint32) {
	s := t.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.find(id.hash, &id.key); r != none && s.counts != nil {
		s.notes[r-1].note.Policy = policy
	}
}

// end tells that the flow of slot r ends.
func (s *shard[V]) end(r ref, now int64) {
	if s.counts != nil && s.hasAccount(r) {
		ended := s.record(r)
		s.keeper.Ended(&ended, s.untaken(r), now)
	}
}

// untaken returns what Take has not returned of the account of slot r.
func (s *store[V]) untaken(r ref) Counts { return s.countsOf(r).Sub(s.notes[r-1].taken) }

// Untaken returns for how many entries Take would call its function, at most.
func (t *Table[V]) Untaken() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += s.untakenSlots
		s.mu.Unlock()
	}
	return n
}

// Take calls f with what each account was added since the last Take, where that is not
// nothing, outside of any lock. An addition that another goroutine makes meanwhile is
// seen either by this Take or by the next one, or by the function that is called when
// the entry ends. Of accounts that were not added to it reads a cache line for each two.
func (t *Table[V]) Take(f func(Key, Counts)) {
	var all []taken
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		all = s.take(all[:0])
		s.mu.Unlock()
		for j := range all {
			f(all[j].key, all[j].counts)
		}
	}
}

// taken is what Take returns of an entry.
type taken struct {
	key    Key
	counts Counts
}

// take appends to all what Take has not returned of the locked s.
func (s *shard[V]) take(all []taken) []taken {
	all = slices.Grow(all, s.untakenSlots)
	for i := 0; s.untakenSlots > 0; i++ {
		c := &s.counts[i]
		for slot := range c.last {
			if c.last[slot] >= 0 {
				continue
			}
			r := ref(2*i + slot + 1)
			now := s.countsOf(r)
			if left := now.Sub(s.notes[r-1].taken); left != (Counts{}) {
				all = append(all, taken{s.at(r).Key(), left})
				s.notes[r-1].taken = now
			}
			c.last[slot] = -c.last[slot]
			s.untakenSlots--
		}
	}
	return all
}
