package flow

import (
	"sync/atomic"
	"unsafe"

	"tstun/internal/prefetch"
)

// places says where the memory of a store is, to who has not its shard's lock. The fields
// may be of different stores: what is prefetched from a wrong place is only useless.
type places struct {
	slots, counts atomic.Uintptr // counts is slots if no accounts are kept
	pairs         atomic.Uint64
}

// place tells where the shard's memory is, since that has changed.
func (s *shard[V]) place() {
	slots := uintptr(unsafe.Pointer(unsafe.SliceData(s.slots)))
	counts := slots
	if s.counts != nil {
		counts = uintptr(unsafe.Pointer(unsafe.SliceData(s.counts)))
	}
	s.places.slots.Store(slots)
	s.places.counts.Store(counts)
	s.places.pairs.Store(uint64(s.pairs()))
}

// Prefetch has the processor fetch what a look-up of id will read, and does not wait for
// it. It takes no lock. Calls that follow each other wait for memory together, where
// look-ups wait one after the other.
func (t *Table[V]) Prefetch(id *ID) {
	p := &t.shardOf(id).places
	i := uintptr(uint64(uint32(id.hash)) * p.pairs.Load() >> 32)
	prefetch.Lines(p.slots.Load()+i*2*unsafe.Sizeof(Entry[V]{}), p.counts.Load()+i*unsafe.Sizeof(pairCounts{}))
}
