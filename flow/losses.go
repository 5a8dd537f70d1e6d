package flow

import (
	"net/netip"
	"sync/atomic"
)

// lossBuckets is the number of buckets that addresses of peers are hashed to.
// Addresses in one bucket share a time, so that too many losses are reported and
// never too few.
const lossBuckets = 1 << 14

// losses holds when an entry that was charged to a peer was last evicted, expired or
// refused, by the hash of the peer's address (IPv6: of its /64). PeerIDs can change
// with the configuration, addresses in keys cannot.
type losses []atomic.Int64

func (l losses) bucket(a netip.Addr) *atomic.Int64 {
	return &l[uint64(AddrPeer(a))%lossBuckets]
}

// record records that an entry of k was evicted, expired or refused at now.
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

// LostAt returns when an entry charged to the peer at a was last evicted, expired or
// refused, or 0 if that never happened or longer ago than Config.Remember. The time
// may be that of another peer with the same hash.
func (t *Table[V]) LostAt(a netip.Addr, now int64) int64 {
	if t.losses == nil {
		return 0
	}
	if lost := t.losses.bucket(a).Load(); lost != 0 && now-lost <= t.remember {
		return lost
	}
	return 0
}
