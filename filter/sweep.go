package filter

import "math/bits"

// sweep holds all states of a set of units that changes step by step, as a sweep line
// algorithm goes through them. A step flips some units in or out. After every so many
// steps there is a snapshot of the set as a bitmap, so the set at a position is the
// nearest snapshot with the few steps between.
//
// Such a sequence is a walk through nested prefixes, or through the ports. Memory is
// in proportion to the number of steps, whatever the size of the set.
type sweep struct {
	words uint32   // of a bitmap
	shift uint8    // there is a snapshot after each 1<<shift steps
	steps []uint32 // the item that each step flips
	kept  []uint64 // snapshots of words each, the first from before the first step
	// spans says which units an item stands for: item i for those from spans[i]
	// to before spans[i+1]. nil: item i is unit i.
	spans []uint32
}

// newSweep returns the builder of a sweep with bitmaps of so many words. Between two
// snapshots there are about as many steps as a bitmap has words: so the snapshots take
// 8 to 16 bytes for each step, and reading the steps costs no more than reading a
// bitmap.
func newSweep(words int, spans []uint32) *sweepBuilder {
	shift := max(3, bits.Len(uint(words))-1)
	return &sweepBuilder{
		sweep: sweep{words: uint32(words), shift: uint8(shift), kept: make([]uint64, words), spans: spans},
		now:   make([]uint64, words),
	}
}

// sweepBuilder builds a sweep.
type sweepBuilder struct {
	sweep
	now []uint64 // the set after the last step
}

// flip adds a step.
func (b *sweepBuilder) flip(item uint32) {
	b.steps = append(b.steps, item)
	b.apply(b.now, 0, b.steps[len(b.steps)-1:])
	if len(b.steps)&(1<<b.shift-1) == 0 {
		b.kept = append(b.kept, b.now...)
	}
}

// at returns the number of steps so far.
func (b *sweepBuilder) at() uint32 { return uint32(len(b.steps)) }

// read copies the set at a position into set, from the word first on.
func (w *sweep) read(set []uint64, first int, at uint32) {
	n := min((at+1<<w.shift>>1)>>w.shift, uint32(len(w.steps))>>w.shift)
	copy(set, w.kept[int(n*w.words)+first:])
	kept := n << w.shift
	w.apply(set, first, w.steps[min(kept, at):max(kept, at)])
}

// apply flips the items of steps in set, which begins with the word first.
func (w *sweep) apply(set []uint64, first int, steps []uint32) {
	if w.spans != nil {
		for _, item := range steps {
			flipSpan(set, int(w.spans[item])-64*first, int(w.spans[item+1])-64*first)
		}
		return
	}
	for _, unit := range steps {
		if i := uint(unit/64) - uint(first); i < uint(len(set)) {
			set[i] ^= 1 << (unit % 64)
		}
	}
}

// flipSpan flips the bits of set from lo to before hi, as far as set has them.
func flipSpan(set []uint64, lo, hi int) {
	lo, hi = max(lo, 0), min(hi, 64*len(set))
	for lo < hi {
		i := lo / 64
		end := min(hi, 64*(i+1))
		set[i] ^= (1<<(end-lo) - 1) << (lo % 64) // of 64 bits: 0 - 1
		lo = end
	}
}
