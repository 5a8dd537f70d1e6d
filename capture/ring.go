package capture

import (
	"math/bits"
	"sync/atomic"
)

// cellSize is the unit of the ring in bytes. It is a cache line, so that two
// goroutines never write to the same one.
const cellSize = 64

// ring is a queue of records of any length, for many producers, which never wait, and
// one consumer.
//
// Positions count cells and wrap at 2³². A producer reserves cells by moving head,
// fills them, and commits them by writing their number to commits, at its first cell.
// The consumer takes records in order of their positions, and frees cells by moving
// tail.
type ring struct {
	_ [cellSize]byte
	// head is the position behind the last reserved cell, in the low 32 bits, then the
	// number of records that were ever reserved, modulo 2³¹, then closedBit.
	head atomic.Uint64
	lost atomic.Uint64 // records that found no room
	_    [cellSize - 16]byte
	tail atomic.Uint32 // the cells before it are free
	// wakeAt is the position that makes the producer which gets there wake the consumer.
	wakeAt atomic.Uint32
	_      [cellSize - 8]byte

	mask    uint32 // number of cells - 1
	data    []byte
	commits []atomic.Uint32 // of the record that begins at a cell, its cells; 0: there is none yet
	wake    chan struct{}
}

const (
	countOne  = 1 << 32
	closedBit = 1 << 63
	countBits = closedBit - countOne
)

// asleepNot is so far ahead that no producer gets there.
const asleepNot = 1 << 30

func newRing(size int) *ring {
	cells := 1 << bits.Len(uint(size/cellSize-1))
	return &ring{
		mask:    uint32(cells - 1),
		data:    make([]byte, cells*cellSize),
		commits: make([]atomic.Uint32, cells),
		wake:    make(chan struct{}, 1),
	}
}

func cellsFor(size int) uint32 { return uint32(size+cellSize-1) / cellSize }

// reserve takes n cells for one record, which the caller must commit soon. If there are
// not as many, or the ring is closed, ok is false.
func (r *ring) reserve(n uint32) (at uint32, ok bool) {
	for {
		h := r.head.Load()
		at = uint32(h)
		if h&closedBit != 0 || at+n-r.tail.Load() > r.mask+1 {
			return 0, false
		}
		if r.head.CompareAndSwap(h, uint64(at+n)|(h+countOne)&countBits) {
			return at, true
		}
	}
}

// commit hands the record in the n cells from at on to the consumer.
func (r *ring) commit(at, n uint32) {
	r.commits[at&r.mask].Store(n)
	w := r.wakeAt.Load()
	if int32(at+n-w) >= 0 && r.wakeAt.CompareAndSwap(w, w+asleepNot) {
		r.poke()
	}
}

// poke wakes the consumer, or keeps it from its next sleep.
func (r *ring) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// close makes reserve refuse from now on.
func (r *ring) close() {
	r.head.Or(closedBit)
	r.poke()
}

func (r *ring) isClosed() bool { return r.head.Load()&closedBit != 0 }

// end returns the position behind the last reserved cell.
func (r *ring) end() uint32 { return uint32(r.head.Load()) }

// waiting returns how many records were reserved since the consumer had taken the first
// taken of them.
func (r *ring) waiting(taken uint64) uint64 {
	return (r.head.Load()/countOne - taken) & (countBits / countOne)
}

// first returns the first n bytes of the cells from at on, which are in one piece:
// n is at most cellSize.
func (r *ring) first(at uint32, n int) []byte {
	i := int(at&r.mask) * cellSize
	return r.data[i : i+n : i+n]
}

// put writes b to the cells from at on, skip bytes behind their beginning.
func (r *ring) put(at uint32, skip int, b []byte) {
	i := (int(at&r.mask)*cellSize + skip) & (len(r.data) - 1)
	if n := copy(r.data[i:], b); n < len(b) {
		copy(r.data, b[n:])
	}
}

// get returns the n bytes that put wrote: a part of the ring, or, if they wrap, scratch
// with a copy.
func (r *ring) get(at uint32, skip, n int, scratch []byte) []byte {
	i := (int(at&r.mask)*cellSize + skip) & (len(r.data) - 1)
	if i+n <= len(r.data) {
		return r.data[i : i+n]
	}
	scratch = append(scratch[:0], r.data[i:]...)
	return append(scratch, r.data[:n-len(scratch)]...)
}
