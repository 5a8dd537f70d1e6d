package filter

// pairTable is a hash table from (node, set) to a number, with open
// addressing and at most half full. It is filled once.
type pairTable struct {
	slots []pairSlot // a power of two of them, or none
}

type pairSlot struct {
	node, set uint32
	value     uint32 // one more than the number, so that 0 is a free slot
}

// newPairTable returns an empty table for n pairs.
func newPairTable(n int) pairTable {
	if n == 0 {
		return pairTable{}
	}
	size := 8
	for size < 2*n {
		size *= 2
	}
	return pairTable{slots: make([]pairSlot, size)}
}

func (t *pairTable) find(node, set uint32) (uint32, bool) {
	if len(t.slots) == 0 {
		return 0, false
	}
	s := t.slot(node, set)
	return s.value - 1, s.value != 0
}

func (t *pairTable) insert(node, set, value uint32) {
	*t.slot(node, set) = pairSlot{node, set, value + 1}
}

// slot returns the slot of a pair, or the free one that it belongs in.
func (t *pairTable) slot(node, set uint32) *pairSlot {
	mask := uint64(len(t.slots) - 1)
	for i := mix(uint64(node)<<32|uint64(set)) & mask; ; i = (i + 1) & mask {
		if s := &t.slots[i]; s.value == 0 || s.node == node && s.set == set {
			return s
		}
	}
}
