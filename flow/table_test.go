package flow_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"tstun/flow"
	"tstun/ipproto"
)

// key returns the nth of many keys.
func key(n int) flow.Key {
	a := netip.AddrFrom4([4]byte{100, 64 | byte(n>>16&63), byte(n >> 8), byte(n)})
	return flow.MakeKey(ipproto.UDP, netip.AddrPortFrom(a, uint16(n>>22)), netip.MustParseAddrPort("192.0.2.1:53"))
}

const second = int64(1) << 30 // as the table counts

// of is added to a class for the entries of the nth peer.
func of(peer uint8) uint8 { return peer * flow.MaxClasses }

// claim is the Claim that a class of put stands for.
func claim(class uint8) flow.Claim {
	return flow.Claim{Class: class % flow.MaxClasses, Peer: flow.PeerID(class / flow.MaxClasses)}
}

// put makes or changes the entry of k. If a peer has it, it is evicted first.
func put(t *flow.Table[int], k flow.Key, class uint8, now, expires int64, v int, rank uint8) bool {
	return t.Upsert(k, claim(class), now, func(e *flow.Entry[int], _ bool) flow.Action {
		e.Value, e.Expires, e.Rank, e.EvictFirst = v, expires, rank, class >= flow.MaxClasses
		return flow.Touch | flow.Changed
	})
}

func rankIf(worthy bool) uint8 {
	if worthy {
		return 1
	}
	return 0
}

// has lists which of the keys 0 to n-1 are there.
func has(t *flow.Table[int], n int, now int64) (keys []int) {
	for i := range n {
		if _, ok := t.Peek(key(i), now); ok {
			keys = append(keys, i)
		}
	}
	return keys
}

func wantKeys(t *testing.T, table *flow.Table[int], now int64, want ...int) {
	t.Helper()
	if got := has(table, 100, now); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("keys %v are there, want %v", got, want)
	}
}

func TestUpsertUpdatePeekDelete(t *testing.T) {
	table := flow.New[int](flow.Config{})
	if _, ok := table.Update(key(1), 0, func(*flow.Entry[int]) flow.Action { t.Error("called"); return flow.Touch }); ok {
		t.Error("Update found a key that was never inserted")
	}
	var saw []bool
	add := func(e *flow.Entry[int], fresh bool) flow.Action {
		saw = append(saw, fresh)
		if e.Key() != key(1) {
			t.Errorf("the entry's key is %v", e.Key())
		}
		if fresh && e.Expires != flow.Never {
			t.Errorf("a fresh entry expires at %d", e.Expires)
		}
		e.Value++
		return flow.Touch
	}
	table.Upsert(key(1), flow.Claim{}, 0, add)
	table.Upsert(key(1), flow.Claim{}, 0, add)
	if fmt.Sprint(saw) != "[true false]" {
		t.Errorf("fresh was %v", saw)
	}
	if v, ok := table.Peek(key(1), 0); v != 2 || !ok {
		t.Errorf("Peek = %d, %v; want 2, true", v, ok)
	}
	if table.Len() != 1 || !table.Delete(key(1)) || table.Delete(key(1)) || table.Len() != 0 {
		t.Error("Delete must remove the entry once")
	}
	table.Upsert(key(2), flow.Claim{}, 0, func(*flow.Entry[int], bool) flow.Action { return flow.Remove })
	if table.Len() != 0 {
		t.Error("an entry removed by its visitor is still there")
	}
}

func TestZeroIDIsNotThere(t *testing.T) {
	table := flow.New[int](flow.Config{})
	put(table, key(1), 0, 0, 100, 0, 0)
	for _, now := range []int64{-1, 0, 1} {
		if _, ok := table.UpdateID(new(flow.ID), now, nil, func(*flow.Entry[int]) flow.Action { t.Error("called"); return flow.Remove }); ok {
			t.Error("UpdateID found the zero ID")
		}
	}
	wantKeys(t, table, 0, 1)
}

func TestExpiry(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 10})
	put(table, key(1), 0, 0, 100, 1, 0)
	if _, ok := table.Peek(key(1), 99); !ok {
		t.Error("gone before its time")
	}
	if _, ok := table.Peek(key(1), 100); ok {
		t.Error("Peek shows an expired entry")
	}
	if s := table.Stats(); s.Expired != 0 || s.Entries != 1 {
		t.Errorf("Peek changed the table: %+v", s)
	}
	if _, ok := table.Update(key(1), 100, func(*flow.Entry[int]) flow.Action { return flow.Touch }); ok {
		t.Error("Update found an expired entry")
	}
	if s := table.Stats(); s.Expired != 1 || s.Entries != 0 {
		t.Errorf("stats %+v after an expiry", s)
	}
}

func TestInsertionsSweep(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 1000})
	for i := range 100 {
		put(table, key(i), uint8(i%flow.MaxClasses), 0, 100, 1, uint8(i%2))
	}
	for i := range 60 {
		put(table, key(1000+i), 0, 100, flow.Never, 1, 0)
	}
	if s := table.Stats(); s.Expired != 100 || s.Entries != 60 {
		t.Errorf("stats %+v; want all 100 idle entries swept by 60 insertions", s)
	}
}

func TestEvictsLongestUnused(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 4})
	for i := range 4 {
		put(table, key(i), 0, int64(i)*second, flow.Never, i, 0)
	}
	table.Update(key(0), 10*second, func(*flow.Entry[int]) flow.Action { return flow.Touch })
	table.Update(key(1), 10*second, func(*flow.Entry[int]) flow.Action { return flow.Leave })
	table.Peek(key(2), 10*second)
	put(table, key(9), 0, 11*second, flow.Never, 9, 0)
	wantKeys(t, table, 11*second, 0, 2, 3, 9)
	put(table, key(10), 0, 12*second, flow.Never, 9, 0)
	wantKeys(t, table, 12*second, 0, 3, 9, 10)
	if s := table.Stats(); s.Evicted != 2 || s.Entries != 4 {
		t.Errorf("stats %+v, want 2 evicted", s)
	}
}

func TestHigherRanksOutliveLower(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 4})
	for i := range 4 {
		put(table, key(i), 0, int64(i)*second, flow.Never, i, rankIf(i < 3))
	}
	for i := 10; i < 20; i++ { // a flood of a lower rank
		put(table, key(i), 0, int64(i)*second, flow.Never, i, 0)
	}
	wantKeys(t, table, 20*second, 0, 1, 2, 19)
	put(table, key(19), 0, 20*second, flow.Never, 0, 1)
	put(table, key(20), 0, 21*second, flow.Never, 0, 0)
	wantKeys(t, table, 21*second, 1, 2, 19, 20)
}

func TestClassLimit(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 10, Classes: [flow.MaxClasses]int{1: 2}})
	put(table, key(0), 0, 0, flow.Never, 0, 0)
	for i := 1; i <= 5; i++ {
		put(table, key(i), 1, int64(i)*second, flow.Never, i, rankIf(i == 1))
	}
	wantKeys(t, table, 6*second, 0, 1, 5) // of the class: the higher rank and the newest
	for i := 20; i < 40; i++ {
		put(table, key(i), 0, int64(i)*second, flow.Never, i, 0)
	}
	if table.Len() != 10 {
		t.Errorf("Len = %d, want the limit, 10", table.Len())
	}
	table.Delete(key(1))
	put(table, key(50), 1, 50*second, flow.Never, 0, 0)
	put(table, key(51), 1, 51*second, flow.Never, 0, 0)
	if _, ok := table.Peek(key(51), 51*second); !ok || table.Len() != 10 {
		t.Error("no place for a class that has room, in a full table")
	}
}

func TestRefuse(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 2, Refuse: true})
	for i := range 5 {
		if got, want := put(table, key(i), 0, 0, 100, i, 0), i < 2; got != want {
			t.Errorf("insertion %d: %v, want %v", i, got, want)
		}
	}
	if !put(table, key(1), 0, 0, 100, 7, 0) {
		t.Error("a full table refuses to change what it holds")
	}
	if s := table.Stats(); s.Refused != 3 || s.Evicted != 0 || s.Entries != 2 {
		t.Errorf("stats %+v, want 3 refused", s)
	}
	if !put(table, key(4), 0, 100, flow.Never, 4, 0) {
		t.Error("expired entries keep the table full")
	}
}

// The limit holds for the table, not for each shard: even keys that all fall
// into a few shards fill it, and it is never exceeded.
func TestLimitIsStrict(t *testing.T) {
	const limit = 1 << 13 // several shards
	table := flow.New[int](flow.Config{Limit: limit})
	for i := range 3 * limit {
		put(table, key(i), 0, int64(i), flow.Never, i, 0)
		if want := min(i+1, limit); table.Len() != want {
			t.Fatalf("Len = %d after %d insertions, want %d", table.Len(), i+1, want)
		}
	}
	if n := len(has(table, 3*limit, 0)); n != limit {
		t.Errorf("%d keys are there, want %d", n, limit)
	}
}

// What is a peer's goes first whatever its rank, and takes no other's place.
func TestYielding(t *testing.T) {
	for name, limit := range map[string]flow.Config{
		"in all":       {Limit: 9},
		"of the class": {Limit: 100, Classes: [flow.MaxClasses]int{9}},
	} {
		t.Run(name, func(t *testing.T) {
			table := flow.New[int](limit)
			put(table, key(0), 0, 0, flow.Never, 0, 0)
			put(table, key(1), of(1), 1*second, flow.Never, 0, 2)
			put(table, key(2), of(1), 2*second, flow.Never, 0, 1)
			put(table, key(3), of(1), 3*second, flow.Never, 0, 1)
			put(table, key(4), of(1), 4*second, flow.Never, 0, 0)
			for i := 5; i < 50; i++ { // each takes the place of the one before
				put(table, key(i), of(1), int64(i)*second, flow.Never, 0, 0)
			}
			wantKeys(t, table, 50*second, 0, 1, 2, 3, 49)
			for i := range 6 {
				put(table, key(50+i), 0, int64(50+i)*second, flow.Never, 0, 0)
			}
			wantKeys(t, table, 56*second, 0, 1, 3, 50, 51, 52, 53, 54, 55)
			put(table, key(56), of(1), 56*second, flow.Never, 0, 1)
			wantKeys(t, table, 56*second, 0, 1, 50, 51, 52, 53, 54, 55, 56)
			put(table, key(57), 0, 57*second, flow.Never, 0, 0)
			put(table, key(58), 0, 58*second, flow.Never, 0, 0)
			wantKeys(t, table, 58*second, 0, 50, 51, 52, 53, 54, 55, 57, 58)
			if put(table, key(59), of(1), 59*second, flow.Never, 0, 2) {
				t.Error("a peer's entry found a place among the host's")
			}
			if s := table.Stats(); s.Refused != 1 || s.Entries != 9 {
				t.Errorf("stats %+v, want 1 refused", s)
			}
			// An entry with EvictFirst set later is evicted like one made with it.
			put(table, key(57), of(1), 60*second, flow.Never, 0, 2)
			put(table, key(60), 0, 60*second, flow.Never, 0, 0)
			wantKeys(t, table, 60*second, 0, 50, 51, 52, 53, 54, 55, 58, 60)
		})
	}
}

// A peer that fills its share leaves room for all others, whose entries it
// cannot touch.
func TestShares(t *testing.T) {
	for name, c := range map[string]flow.Config{
		"evicting":     {Limit: 1 << 14},
		"refusing":     {Limit: 1 << 14, Refuse: true},
		"of the class": {Limit: 1 << 16, Classes: [flow.MaxClasses]int{1 << 14}},
	} {
		t.Run(name, func(t *testing.T) {
			table := flow.New[int](c)
			put(table, key(0), of(2), 0, flow.Never, 0, 0)
			for i := range 1 << 16 {
				put(table, key(1000+i), of(1), second, flow.Never, 0, 2)
			}
			if n := table.Len(); n > 1<<13+1 || n < 1<<13 {
				t.Errorf("a peer alone holds %d of %d places", n-1, 1<<14)
			}
			for i := range 100 {
				if !put(table, key(1+i), of(uint8(3+i%30)), 2*second, flow.Never, 0, 0) {
					t.Errorf("entry %d of other peers was refused", i)
				}
			}
			if n := len(has(table, 101, 2*second)); n != 101 {
				t.Errorf("of 101 entries of other peers %d are there", n)
			}
		})
	}
}

// Peers that come one after the other, each wanting all it can get, leave room
// for the next one all the same.
func TestSharesOfManyPeers(t *testing.T) {
	const limit, peers, each = 1 << 14, 60, 2000
	table := flow.New[int](flow.Config{Limit: limit})
	held := make(map[flow.PeerID]int)
	for p := range peers {
		for i := range each {
			c := flow.Claim{Peer: flow.PeerID(p + 1)}
			table.Upsert(key(p*each+i), c, second, func(e *flow.Entry[int], _ bool) flow.Action { e.Value = p + 1; return flow.Touch })
		}
	}
	table.Drain(func(_ flow.Key, p int) { held[flow.PeerID(p)]++ })
	for p := range peers {
		if n := held[flow.PeerID(p+1)]; n < limit/peers/2 || n > 2*limit/peers {
			t.Errorf("peer %d has %d places of %d, an even share is %d", p, n, limit, limit/(peers+1))
		}
	}
}

// A share that is given back can be taken again, for every way of giving.
func TestSharesAreGivenBack(t *testing.T) {
	ways := map[string]func(table *flow.Table[int]){
		"removed": func(table *flow.Table[int]) {
			for i := range 5 {
				table.Update(key(i), 0, func(*flow.Entry[int]) flow.Action { return flow.Remove })
			}
		},
		"deleted": func(table *flow.Table[int]) {
			for i := range 5 {
				table.Delete(key(i))
			}
		},
		"drained": func(table *flow.Table[int]) { table.Drain(func(flow.Key, int) {}) },
		"expired": func(table *flow.Table[int]) {
			for i := range 5 {
				table.Update(key(i), 2000, func(*flow.Entry[int]) flow.Action { return flow.Touch })
			}
		},
		"evicted": func(table *flow.Table[int]) {
			for i := range 10 {
				put(table, key(50+i), 0, 0, flow.Never, 0, 0)
			}
			for i := range 10 {
				table.Delete(key(50 + i))
			}
		},
		"no peer's any more": func(table *flow.Table[int]) {
			for i := range 5 {
				put(table, key(i), 0, 0, flow.Never, 0, 0)
				table.Delete(key(i))
			}
		},
	}
	for name, give := range ways {
		t.Run(name, func(t *testing.T) {
			table := flow.New[int](flow.Config{Limit: 10})
			for range 3 {
				for i := range 5 {
					if !put(table, key(i), of(1)+uint8(i%3), 0, 1000, 0, 0) {
						t.Fatalf("no place for entry %d", i)
					}
				}
				if s := table.Stats(); s.Entries != 5 {
					t.Fatalf("%+v, want 5 entries", s)
				}
				give(table)
			}
		})
	}
}

// LostAt knows when an entry of a peer was given up, whatever for, and for as
// long as it is asked to.
func TestLostAt(t *testing.T) {
	p := key(0).Peer().Addr()
	table := flow.New[int](flow.Config{Limit: 3, Remember: 1000})
	want := func(now, lost int64) {
		t.Helper()
		if got := table.LostAt(p, now); got != lost {
			t.Errorf("LostAt(%d) = %d, want %d", now, got, lost)
		}
		known := 0 // others share what is known of p by chance
		for other := p.Next(); other.As4()[3] < 10; other = other.Next() {
			if table.LostAt(other, now) != 0 {
				known++
			}
		}
		if known > 1 {
			t.Errorf("LostAt(%d) of %d other peers is not 0", now, known)
		}
	}
	want(1, 0)
	put(table, key(1), of(1), 1, 100, 0, 0)
	want(1, 0)
	table.Update(key(1), 110, func(*flow.Entry[int]) flow.Action { return flow.Touch })
	want(111, 100) // expired
	want(1100, 100)
	want(1101, 0)
	put(table, key(1), of(1), 2000, flow.Never, 0, 0)
	put(table, key(2), of(1), 2001, flow.Never, 0, 0)
	want(2001, 0)
	put(table, key(3), of(1), 2002, flow.Never, 0, 0)
	want(2002, 2002) // evicted by the peer itself
	for i := range 3 {
		put(table, key(10+i), 0, 2010, flow.Never, 0, 0)
	}
	want(2011, 2010) // evicted by the host
	put(table, key(1), of(1), 2020, flow.Never, 0, 0)
	want(2021, 2020) // refused
	table.Delete(key(10))
	put(table, key(1), of(1), 3500, flow.Never, 0, 0)
	table.Delete(key(1))
	want(3500, 0) // whoever deletes knows
}

// There may be more peers than a table can tell apart.
func TestManyPeers(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 1 << 18, Remember: 1000})
	for i := range 1 << 17 {
		c := flow.Claim{Peer: flow.PeerID(i + 1)}
		now := int64(i / 1000)
		if !table.Upsert(key(i), c, now, func(*flow.Entry[int], bool) flow.Action { return flow.Touch }) {
			t.Fatalf("peer %d was refused its first entry", i)
		}
		if i%2 == 0 {
			table.Update(key(i), now, func(e *flow.Entry[int]) flow.Action { e.Expires = now; return flow.Touch })
			table.Update(key(i), now, func(e *flow.Entry[int]) flow.Action { return flow.Touch })
		}
	}
}

// The addresses of one /64 are one peer; IPv4 addresses, mapped ones and
// numbers are apart.
func TestPeerIDs(t *testing.T) {
	a := func(s string) flow.PeerID { return flow.AddrPeer(netip.MustParseAddr(s)) }
	if a("fd7a::1") != a("fd7a::ffff:1") || a("fd7a::1") == a("fd7a:0:0:1::1") {
		t.Error("IPv6 peers are not /64s")
	}
	ids := []flow.PeerID{flow.PrefixPeer(netip.MustParsePrefix("fd7a::1/128")), flow.PrefixPeer(netip.MustParsePrefix("fd7a::/128")),
		flow.PrefixPeer(netip.MustParsePrefix("fd7a::/64")), a("100.64.0.1"), a("100.64.0.2"), a("::ffff:100.64.0.1"), a("::ffff:100.64.0.2"), a("fd7a::1"),
		flow.NumberedPeer(0), flow.NumberedPeer(1), 0}
	for i, x := range ids {
		for j, y := range ids {
			if (x == y) != (i == j) {
				t.Errorf("IDs %d and %d: %x and %x", i, j, x, y)
			}
		}
	}
}

// A class that has no entry in the new one's shard is relieved elsewhere.
func TestEvictsInOtherShards(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 1 << 14, Classes: [flow.MaxClasses]int{3: 1}})
	for i := range 200 {
		if !put(table, key(i), 3, int64(i), flow.Never, i, 0) {
			t.Fatalf("insertion %d refused", i)
		}
		if table.Len() != 1 {
			t.Fatalf("%d entries of a class limited to 1", table.Len())
		}
	}
	wantKeys(t, table, 0)
}

func TestDrain(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 1 << 14, Refuse: true})
	for i := range 5000 {
		put(table, key(i), 0, 0, flow.Never, i, 0)
	}
	seen := map[flow.Key]int{}
	table.Drain(func(k flow.Key, v int) { seen[k] = v })
	if len(seen) != 5000 || table.Len() != 0 {
		t.Fatalf("drained %d, left %d", len(seen), table.Len())
	}
	for i := range 5000 {
		if seen[key(i)] != i {
			t.Fatalf("key %d had value %d", i, seen[key(i)])
		}
	}
	table.Drain(func(flow.Key, int) { t.Error("an empty table hands out an entry") })
	if !put(table, key(1), 0, 0, flow.Never, 1, 0) {
		t.Error("a drained table refuses entries")
	}
}

// What many add while one drains is counted exactly once.
func TestDrainIsExact(t *testing.T) {
	const writers, each, keys = 4, 20000, 300
	table := flow.New[int](flow.Config{Limit: 1 << 13, Refuse: true})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for range each {
				table.Upsert(key(rng.IntN(keys)), flow.Claim{}, 0, func(e *flow.Entry[int], _ bool) flow.Action {
					e.Value++
					return flow.Touch
				})
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	sum := 0
	add := func(_ flow.Key, v int) { sum += v }
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			table.Drain(add)
			runtime.Gosched()
		}
	}
	table.Drain(add)
	if sum != writers*each || table.Len() != 0 {
		t.Errorf("drained %d in all, want %d; %d left", sum, writers*each, table.Len())
	}
}

func TestConcurrentUse(t *testing.T) {
	const limit = 3000
	table := flow.New[int](flow.Config{Limit: limit, Classes: [flow.MaxClasses]int{1: 100}})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(2, uint64(w)))
			for i := range 20000 {
				k, now := key(rng.IntN(10000)), int64(i)*second/100
				switch rng.IntN(5) {
				case 0:
					table.Delete(k)
				case 1:
					table.Peek(k, now)
				default:
					put(table, k, uint8(rng.IntN(3)), now, now+rng.Int64N(100*second), i, uint8(rng.IntN(3)))
				}
				if n := table.Len(); n > limit {
					t.Errorf("%d entries, limit %d", n, limit)
					return
				}
			}
		})
	}
	wg.Wait()
	n := 0
	table.Drain(func(flow.Key, int) { n++ })
	if n == 0 || table.Len() != 0 {
		t.Errorf("drained %d, Len says %d are left", n, table.Len())
	}
}

func ExampleTable() {
	table := flow.New[string](flow.Config{Limit: 2})
	for i, name := range []string{"first", "second", "third"} {
		table.Upsert(key(i), flow.Claim{}, 0, func(e *flow.Entry[string], fresh bool) flow.Action {
			e.Value = name
			return flow.Touch
		})
	}
	_, ok := table.Peek(key(0), 0)
	v, _ := table.Peek(key(2), 0)
	fmt.Println(ok, v, table.Stats().Evicted)
	// Output: false third 1
}

// TestStamps: a stamp lapses when any entry beside its own is changed or goes,
// and not before.
func TestStamps(t *testing.T) {
	table := flow.New[int](flow.Config{Limit: 2}) // one shard
	for _, k := range []int{1, 2} {
		put(table, key(k), 0, 0, 100, 0, 0)
	}
	stamp := func(a flow.Action) flow.Stamp {
		t.Helper()
		s, ok := table.Update(key(1), 0, func(*flow.Entry[int]) flow.Action { return a })
		if !ok {
			t.Fatal("the entry is gone")
		}
		return s
	}
	if (flow.Stamp{}).Holds() || stamp(flow.Changed|flow.Touch).Holds() || stamp(flow.Changed|flow.Leave).Holds() {
		t.Error("a stamp holds that never can")
	}
	s := stamp(flow.Touch)
	if at := s.Expires(); at != 100 {
		t.Errorf("the stamp's entry expires at %d, want 100", at)
	}
	later, _ := table.Update(key(2), 0, func(e *flow.Entry[int]) flow.Action { e.Expires = 300; return flow.Touch })
	if at := later.Expires(); at != 300 {
		t.Errorf("the stamp's entry expires at %d, want 300, as was set", at)
	}
	table.Peek(key(2), 0)
	table.Update(key(2), 0, func(*flow.Entry[int]) flow.Action { return flow.Leave })
	table.Upsert(key(2), flow.Claim{}, 0, func(*flow.Entry[int], bool) flow.Action { return flow.Touch })
	if !s.Holds() {
		t.Error("the stamp lapsed by uses")
	}
	lapse := func(what string, f func()) {
		t.Helper()
		s := stamp(flow.Leave)
		if !s.Holds() {
			t.Fatal("a new stamp does not hold")
		}
		if f(); s.Holds() {
			t.Errorf("the stamp holds after %s", what)
		}
	}
	lapse("a change by Update", func() {
		table.Update(key(2), 0, func(*flow.Entry[int]) flow.Action { return flow.Leave | flow.Changed })
	})
	lapse("a change by Upsert", func() {
		table.Upsert(key(2), flow.Claim{}, 0, func(*flow.Entry[int], bool) flow.Action { return flow.Touch | flow.Changed })
	})
	lapse("an eviction", func() { put(table, key(3), 0, 1, 200, 0, 0) })
	put(table, key(1), 0, 1, 200, 0, 0)
	lapse("a removal by Update", func() {
		table.Update(key(3), 1, func(*flow.Entry[int]) flow.Action { return flow.Remove })
	})
	put(table, key(3), 0, 1, 50, 0, 0)
	lapse("an expiry", func() {
		table.Update(key(3), 50, func(*flow.Entry[int]) flow.Action { return flow.Touch })
	})
	put(table, key(3), 0, 51, 200, 0, 0)
	lapse("a deletion", func() { table.Delete(key(3)) })
	lapse("a drain", func() { table.Drain(func(flow.Key, int) {}) })
}
