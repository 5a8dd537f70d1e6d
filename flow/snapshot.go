package flow

import "sync"

// Record is an entry with its account.
type Record[V any] struct {
	Key     Key
	Value   V
	Expires int64
	Account
}

// Snapshot is the entries of a Table, with what these held and their accounts when the
// Snapshot began. What is added or upserted later is not in it, though no lock is held
// for longer than the copying of one shard takes: a shard is copied before the first
// addition to it, by whoever makes that, or else by Collect.
type Snapshot[V any] struct {
	table  *Table[V]
	serial uint64
	mu     sync.Mutex // guards the below; taken under a shard's
	parts  [][]Record[V]
	// counted is what UpdateID had counted since KeepAccounts.
	counted Counts
}

// Begin begins a Snapshot. One goroutine at a time may use it, and each Begin needs its
// Collect before the next one.
func (t *Table[V]) Begin() *Snapshot[V] {
	snap := &Snapshot[V]{table: t, serial: t.snapshots.Add(1)}
	t.snapshot.Store(snap)
	return snap
}

// Collect ends the Snapshot and returns its records, in parts, and what UpdateID had
// counted since KeepAccounts. Their order is arbitrary. Expired entries are among them. An
// entry that left the table after Begin may be missing, and new ones without counts may be
// there.
func (snap *Snapshot[V]) Collect() (parts [][]Record[V], counted Counts) {
	t := snap.table
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.copyFor(snap)
		s.mu.Unlock()
	}
	t.snapshot.Store(nil)
	return snap.parts, snap.counted
}

// ChangeID is UpdateID for what a Snapshot is not to see. Begin must not be called
// meanwhile.
func (t *Table[V]) ChangeID(id *ID, now int64, f func(*Entry[V]) Action) (known bool) {
	if snap := t.snapshot.Load(); snap != nil {
		s := t.shardOf(id)
		s.mu.Lock()
		s.copyFor(snap)
		s.mu.Unlock()
	}
	_, known = t.UpdateID(id, now, nil, f)
	return known
}

// Sum returns what the records have carried.
func Sum[V any](parts [][]Record[V]) (c Counts) {
	for _, part := range parts {
		for i := range part {
			c = c.Add(part[i].Counts)
		}
	}
	return c
}

// copyFor copies the entries of the locked s for the snapshot, if that is not nil and
// has no copy yet.
func (s *shard[V]) copyFor(snap *Snapshot[V]) {
	if snap == nil || s.copied == snap.serial {
		return
	}
	s.copied = snap.serial
	part := make([]Record[V], 0, s.count)
	for r := ref(1); int(r) <= len(s.slots); r++ {
		if s.at(r).live() {
			part = append(part, s.record(r))
		}
	}
	snap.mu.Lock()
	snap.counted = snap.counted.Add(s.counted)
	snap.parts = append(snap.parts, part)
	snap.mu.Unlock()
}

// record returns the record of slot r, which is live.
func (s *store[V]) record(r ref) Record[V] {
	e := s.at(r)
	x := Record[V]{Key: e.Key(), Value: e.Value, Expires: e.Expires}
	if s.counts != nil {
		x.Account = s.account(r)
	}
	return x
}
