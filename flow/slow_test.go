package flow_test

import (
	"cmp"
	"slices"
	"testing"

	"tstun/flow"
)

// slowTable is the readable twin of a Table with a single shard: a map, and
// a slice in the order of use.
type slowTable struct {
	config  flow.Config
	entries map[flow.Key]*slowEntry
	used    []*slowEntry // longest unused first
	refused uint64
}

type slowEntry struct {
	key        flow.Key
	class      uint8
	peer       uint8 // that it is charged to; 0: none
	evictFirst bool
	rank       uint8
	expires    int64
	tick       uint16
	value      int
}

func newSlow(c flow.Config) *slowTable {
	return &slowTable{config: c, entries: map[flow.Key]*slowEntry{}}
}

func (s *slowTable) remove(e *slowEntry) {
	delete(s.entries, e.key)
	for i, u := range s.used {
		if u == e {
			s.used = append(s.used[:i:i], s.used[i+1:]...)
			return
		}
	}
}

// expire removes all that is idle, which the Table does by and by.
func (s *slowTable) expire(now int64) {
	for _, e := range s.entries {
		if e.expires <= now {
			s.remove(e)
		}
	}
}

func (s *slowTable) count(match func(*slowEntry) bool) (n int) {
	for _, e := range s.entries {
		if match(e) {
			n++
		}
	}
	return n
}

// victim returns the entry to evict for one of the class and peer, of the
// class if ofClass: the first by what it is worth, and the longest unused of
// these. A peer's own are the only candidates for it.
func (s *slowTable) victim(class uint8, ofClass bool, peer uint8) *slowEntry {
	var candidates []*slowEntry
	for _, e := range s.used {
		if (!ofClass || e.class == class) && (peer == 0 || e.peer == peer) {
			candidates = append(candidates, e)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	return slices.MinFunc(candidates, func(a, b *slowEntry) int {
		switch {
		case a.evictFirst && !b.evictFirst:
			return -1
		case b.evictFirst && !a.evictFirst:
			return 1
		case a.rank != b.rank:
			return int(a.rank) - int(b.rank)
		case ofClass || a.class == b.class:
			return 0 // in the order of use
		}
		// Among classes the tick decides, and the lower class.
		return cmp.Or(cmp.Compare(a.tick, b.tick), cmp.Compare(a.class, b.class))
	})
}

// richest returns the peer that holds most, in all or of the class, if that is
// more than the given one would with another one, which it returns otherwise.
func (s *slowTable) richest(class uint8, ofClass bool, peer uint8) uint8 {
	holds := func(p uint8) int {
		return s.count(func(e *slowEntry) bool { return e.peer == p && (!ofClass || e.class == class) })
	}
	most, of := holds(peer)+1, peer
	for p := uint8(1); p < 3; p++ {
		evictFirst := slices.ContainsFunc(s.used, func(e *slowEntry) bool { return e.peer == p && e.evictFirst && (!ofClass || e.class == class) })
		if p != peer && evictFirst && holds(p) > most {
			most, of = holds(p), p
		}
	}
	return of
}

// full reports whether an entry of the class and peer needs the place of
// another one, and which that is: nil for none.
func (s *slowTable) full(class, peer uint8) (victim *slowEntry, full bool) {
	limit := s.config.Classes[class]
	if limit == 0 {
		limit = 1 << 30
	}
	isOfClass := func(e *slowEntry) bool { return e.class == class }
	free, freeOfClass := s.config.Limit-len(s.entries), limit-s.count(isOfClass)
	if peer != 0 {
		held := s.count(func(e *slowEntry) bool { return e.peer == peer })
		heldOfClass := s.count(func(e *slowEntry) bool { return e.peer == peer && isOfClass(e) })
		full = held >= free || heldOfClass >= freeOfClass
		ofClass := heldOfClass >= freeOfClass
		v := s.victim(class, ofClass, s.richest(class, ofClass, peer))
		if v != nil && v.class != class && freeOfClass <= 0 {
			v = nil
		}
		return v, full
	}
	return s.victim(class, freeOfClass <= 0, 0), free <= 0 || freeOfClass <= 0
}

func (s *slowTable) touch(e *slowEntry, now int64, moved bool) {
	if tick := uint16(now >> 30); moved || tick != e.tick {
		e.tick = tick
		for i, u := range s.used {
			if u == e {
				s.used = append(append(s.used[:i:i], s.used[i+1:]...), e)
				return
			}
		}
	}
}

func (s *slowTable) put(k flow.Key, class uint8, now, expires int64, v int, rank uint8) bool {
	s.expire(now)
	c := claim(class)
	evictFirst, peer := c.Peer != 0, uint8(c.Peer)
	e := s.entries[k]
	if e == nil {
		if v, full := s.full(c.Class, peer); full {
			if v == nil || s.config.Refuse && (peer == 0 || v.peer == peer) {
				s.refused++
				return false
			}
			s.remove(v)
		}
		e = &slowEntry{key: k, class: c.Class, peer: peer, tick: uint16(now >> 30)}
		s.entries[k] = e
		s.used = append(s.used, e)
	}
	if !evictFirst {
		e.peer = 0
	}
	moved := e.rank != rank || e.evictFirst != evictFirst
	e.value, e.expires, e.rank, e.evictFirst = v, expires, rank, evictFirst
	s.touch(e, now, moved)
	return true
}

// FuzzTable plays a script of operations on a Table and on its twin. Where
// entries expire the two may evict differently, because a Table does not
// know at once of all that is idle; so a script has either expiry and room,
// or no expiry and tight limits.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, true, false)
	f.Add([]byte{200, 100, 3, 17, 80, 33, 1, 1, 1, 90, 90, 90, 5, 6, 7, 4, 4, 4}, false, true)
	f.Add([]byte("the quick brown fox jumps over the lazy dog and back"), true, true)
	f.Fuzz(func(t *testing.T, script []byte, tight, refuse bool) {
		c := flow.Config{Limit: 1000}
		if tight {
			c = flow.Config{Limit: 7, Refuse: refuse, Classes: [flow.MaxClasses]int{2: 3}}
		}
		fast, slow := flow.New[int](c), newSlow(c)
		now := int64(0)
		for i := 0; i+2 < len(script); i += 3 {
			op, n, arg := script[i], int(script[i+1]%32), int64(script[i+2])
			k := key(n)
			now += arg % 5 * second / 2
			switch op % 5 {
			case 0:
				slow.expire(now)
				e := slow.entries[k]
				if e != nil {
					slow.remove(e)
				}
				if _, ok := fast.Update(k, now, func(*flow.Entry[int]) flow.Action { return flow.Remove }); ok != (e != nil) {
					t.Fatalf("step %d: Update found %v or not", i, k)
				}
			case 1:
				slow.expire(now)
				e := slow.entries[k]
				if e != nil {
					e.value++
					slow.touch(e, now, false)
				}
				_, found := fast.Update(k, now, func(e *flow.Entry[int]) flow.Action { e.Value++; return flow.Touch })
				if found != (e != nil) {
					t.Fatalf("step %d: Update found %v: %v", i, k, found)
				}
			default:
				expires := int64(flow.Never)
				if !tight {
					expires = now + arg*second/8
				}
				class, rank := uint8(n%3), op/5%flow.Ranks
				class += of(op / 15 % 3)
				a, b := put(fast, k, class, now, expires, i, rank), slow.put(k, class, now, expires, i, rank)
				if a != b {
					t.Fatalf("step %d: Upsert %v, want %v", i, a, b)
				}
			}
			compare(t, i, fast, slow, now)
		}
	})
}

func compare(t *testing.T, step int, fast *flow.Table[int], slow *slowTable, now int64) {
	t.Helper()
	slow.expire(now)
	for n := range 32 {
		v, ok := fast.Peek(key(n), now)
		e := slow.entries[key(n)]
		if ok != (e != nil) || ok && v != e.value {
			t.Fatalf("step %d: key %d: got %d, %v; want %+v", step, n, v, ok, e)
		}
	}
	if s := fast.Stats(); s.Refused != slow.refused {
		t.Fatalf("step %d: %d refused, want %d", step, s.Refused, slow.refused)
	}
}

// TestTableAgainstMap inserts and deletes at random in a table of many
// shards, whose index grows and is reused, and compares it with a map.
func TestTableAgainstMap(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 1 << 16})
	want := map[flow.Key]int{}
	rng := uint32(1)
	for i := range 200_000 {
		rng = rng*1664525 + 1013904223
		k := key(int(rng >> 18))
		if rng>>8&3 == 0 {
			_, ok := want[k]
			delete(want, k)
			if table.Delete(k) != ok {
				t.Fatalf("step %d: Delete(%v) is wrong", i, k)
			}
			continue
		}
		want[k] = i
		put(table, k, uint8(rng>>10&7), 0, flow.Never, i, uint8(rng&1))
	}
	if table.Len() != len(want) {
		t.Fatalf("%d entries, want %d", table.Len(), len(want))
	}
	table.Drain(func(k flow.Key, v int) {
		if want[k] != v {
			t.Errorf("%v = %d, want %d", k, v, want[k])
		}
		delete(want, k)
	})
	if len(want) != 0 {
		t.Errorf("%d entries missing", len(want))
	}
}
