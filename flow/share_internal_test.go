package flow

import (
	"net/netip"
	"sync"
	"testing"

	"tstun/internal/rig/race"
	"tstun/ipproto"
)

// Many peers at once in a full table: the shares must add up to what the table
// holds, and no share may be given out twice.
func TestSharesAddUp(t *testing.T) {
	each := 100_000
	if race.Enabled || testing.Short() {
		each = 10_000
	}
	for _, refuse := range []bool{false, true} {
		table := New[int](Config{Limit: 4096, Refuse: refuse})
		var wg sync.WaitGroup
		for i := range 4095 { // a peer has much, and one place is left
			k := MakeKey(ipproto.UDP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 1, 1, 1}), uint16(i)), netip.AddrPortFrom(netip.AddrFrom4([4]byte{2, 2, 2, 2}), 1))
			table.Upsert(k, Claim{Peer: PeerID(1 + i/1000)}, 1, func(e *Entry[int], _ bool) Action { e.Expires = Never; return Touch })
		}
		for g := range 16 {
			wg.Go(func() {
				for n := range each {
					i := g*each + n
					var a [4]byte
					a[0], a[1], a[2], a[3] = 10, byte(i>>16), byte(i>>8), byte(i)
					k := MakeKey(ipproto.UDP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 1, 1, 1}), 80), netip.AddrPortFrom(netip.AddrFrom4(a), 1))
					table.Upsert(k, Claim{Peer: AddrPeer(netip.AddrFrom4(a))}, int64(i), func(e *Entry[int], _ bool) Action {
						e.Expires = Never
						return Touch
					})
					if n%2 == 0 {
						table.Delete(k)
					}
				}
			})
		}
		wg.Wait()
		perShare := map[shareIndex]int{}
		entries := 0
		for i := range table.shards {
			for r := range table.shards[i].slots {
				if e := &table.shards[i].slots[r]; e.live() {
					perShare[e.share]++
					entries++
				}
			}
		}
		bad, neg, dup := 0, 0, 0
		for i := range table.shares.list {
			if int(table.shares.list[i].total) != perShare[shareIndex(i)] {
				bad++
			}
			if table.shares.list[i].total < 0 {
				neg++
			}
		}
		seen := map[shareIndex]bool{}
		for _, i := range table.shares.unused {
			if seen[i] {
				dup++
			}
			seen[i] = true
		}
		t.Logf("refuse %v: %d entries, len %d", refuse, entries, table.Len())
		if bad+neg+dup > 0 {
			t.Errorf("refuse %v: %d shares are wrong, %d negative, %d unused twice, of %d", refuse, bad, neg, dup, len(table.shares.list))
		}
	}
}
