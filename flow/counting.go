package flow

import "math"

// Counting is the packet that UpdateID counts in the entry that it finds, under the same
// lock, if its function returns Count. AddID does it afterwards, by another look-up.
type Counting struct {
	In    bool
	Bytes uint64
	// Counted says where it was counted; zero: it was not.
	Counted
}

// Counted is a packet that was counted at a look-up.
type Counted struct {
	hash uint64 // of the entry's key
	ends uint32 // the shard's at that time
	done bool
}

// Done reports whether the packet was counted.
func (c *Counted) Done() bool { return c.done }

// countIn counts c in the account of slot r, whose key has the hash h.
func (s *shard[V]) countIn(r ref, h uint64, c *Counting, now int64) {
	way := tx
	if c.In {
		way = rx
		s.counted.RxPackets++
		s.counted.RxBytes += c.Bytes
	} else {
		s.counted.TxPackets++
		s.counted.TxBytes += c.Bytes
	}
	i := uint32(r - 1)
	p, slot := &s.counts[i/2], i%2
	if p.last[slot] < 0 && p.packets[slot][way] < math.MaxUint32 {
		p.last[slot] = min(-now, -1) // as add does, without the call
		p.bytes[slot][way] += c.Bytes
		p.packets[slot][way]++
	} else {
		s.add(r, c.In, 1, c.Bytes, now)
	}
	c.Counted = Counted{h, s.ends, true}
}

// Uncount takes back that c was counted, as less, and reports whether it did. It does not if
// Take has returned it: then it stays counted. If its account has ended since, ended says
// whether it is taken back; it runs under the shard's lock.
func (t *Table[V]) Uncount(c *Counted, less Counts, ended func() bool) bool {
	s := &t.shards[c.hash>>t.shift]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		return false
	}
	r := s.findHash(c.hash)
	switch {
	case r == none || int32(c.ends-s.notes[r-1].ends) < 0: // another account of the key began later
		if !ended() {
			return false
		}
		s.copyFor(t.snapshot.Load())
	case !s.untaken(r).Has(less):
		return false
	default:
		s.copyFor(t.snapshot.Load())
		s.setCounts(r, s.countsOf(r).Sub(less))
	}
	s.counted = s.counted.Sub(less)
	return true
}

// UpdateCounted calls f with the entry of the key under which c was counted, in this table
// or another one, under the rules of Update, and reports whether there is one.
func (t *Table[V]) UpdateCounted(c *Counted, f func(*Entry[V])) bool {
	s := &t.shards[c.hash>>t.shift]
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.findHash(c.hash)
	if r != none {
		f(s.at(r))
	}
	return r != none
}

// findHash returns the slot of the key with the hash h, or none.
func (s *store[V]) findHash(h uint64) ref {
	i := s.homeOf(h)
	for range s.pairs() {
		for j := i; j < i+2; j++ {
			if e := &s.slots[j]; e.live() {
				if k := e.Key(); hashKey.hash(&k) == h {
					return ref(j + 1)
				}
			}
		}
		if s.slots[i].overflow == 0 {
			break
		}
		i = s.after(i)
	}
	return none
}
