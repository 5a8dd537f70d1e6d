package filter

import "math/bits"

// sweep is a set of units that changes step by step, and that can be asked
// for as it was after any number of steps. A step puts some units in or takes
// them out. After every so many steps the whole set is kept as a bitmap, so
// the set at a position is the nearest bitmap and the few steps between.
//
// A walk through nested prefixes, which opens and closes each, is such a
// sequence; so is a walk through the ports. Steps and bitmaps grow with what
// is opened and not with how much is open at once.
type sweep struct {
	words uint32   // of a bitmap
	shift uint8    // a bitmap is kept after each 1<<shift steps
	steps []uint32 // the item that each step flips
	kept  []uint64 // bitmaps, of words each, from that before the first step on
	// spans says which units the items are: item i is those from spans[i] to
	// before spans[i+1]. nil: item i is unit i.
	spans []uint32
}

// newSweep returns a sweep of a number of units. Between two bitmaps it makes
// at most about as many steps as a bitmap has words: so the bitmaps take
// 8 to 16 bytes for each step, and reading the steps costs no more than
// reading a bitmap.
func newSweep(words int, spans []uint32) *sweepBuilder {
	shift := max(3, bits.Len(uint(words))-1)
	return &sweepBuilder{
		sweep: sweep{words: uint32(words), shift: uint8(shift), kept: make([]uint64, words), spans: spans},
		now:   make([]uint64, words),
	}
}

// sweepBuilder is a sweep that is being made.
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

// read copies into set the words from first on of the set at a position.
func (w *sweep) read(set []uint64, first int, at uint32) {
	n := min((at+1<<w.shift>>1)>>w.shift, uint32(len(w.steps))>>w.shift)
	copy(set, w.kept[int(n*w.words)+first:])
	kept := n << w.shift
	w.apply(set, first, w.steps[min(kept, at):max(kept, at)])
}

// apply flips the items of steps in set, which holds the words from first on.
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

// flipSpan flips the bits from lo to before hi that set has.
func flipSpan(set []uint64, lo, hi int) {
	lo, hi = max(lo, 0), min(hi, 64*len(set))
	for lo < hi {
		i := lo / 64
		end := min(hi, 64*(i+1))
		set[i] ^= (1<<(end-lo) - 1) << (lo % 64) // of 64 bits: 0 - 1
		lo = end
	}
}
