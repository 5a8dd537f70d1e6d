package flow

import (
	"net/netip"
	"sync/atomic"
)

// lossBuckets is how many groups of peers' addresses are told apart by losses.
// Two in one group share what is known: more is taken for lost.
const lossBuckets = 1 << 14

// losses remembers when an entry that was charged to a peer was last given up, by
// the peer's address (IPv6: its /64) and not by whose that is called at the time.
type losses []atomic.Int64

func (l losses) bucket(a netip.Addr) *atomic.Int64 {
	return &l[uint64(AddrPeer(a))%lossBuckets]
}

// note notes that an entry of k was given up, or not taken, at now.
func (l losses) record(k Key, now int64) {
	if l == nil {
		return
	}
	at := l.bucket(k.Peer().Addr())
	for {
		old := at.Load()
		if old >= now && old != 0 || at.CompareAndSwap(old, max(now, 1)) {
			return
		}
	}
}

// LostAt returns when an entry of the peer at a was last evicted, expired or
// refused, or that of another peer of a's group. It is 0 if that never happened,
// or before Config.Remember.
func (t *Table[V]) LostAt(a netip.Addr, now int64) int64 {
	if t.losses == nil {
		return 0
	}
	if lost := t.losses.bucket(a).Load(); lost != 0 && now-lost <= t.remember {
		return lost
	}
	return 0
}
