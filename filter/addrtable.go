package filter

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"tstun/internal/lpm"
)

// none stands for the absence of a prefix, a node or a position.
const none = ^uint32(0)

// addrTable numbers prefixes and finds the longest one that contains an address.
// Single addresses, of which there may be very many, are in hash tables, where a
// look-up reads memory once. All wider prefixes are in a trie.
type addrTable struct {
	hosts4 hostTable[uint32]
	hosts6 hostTable[[2]uint64]
	nets   lpm.Table[uint32]
	size   uint32 // number of prefixes
}

// add returns the number of the masked prefix p. fresh reports whether p had none
// before.
func (t *addrTable) add(p netip.Prefix) (n uint32, fresh bool) {
	switch {
	case !p.IsSingleIP():
		if n, ok := t.nets.Get(p); ok {
			return n, false
		}
		t.nets.Insert(p, t.size)
	case p.Addr().Is4():
		if n := t.hosts4.insert(key4(p.Addr()), t.size, hash4); n != t.size {
			return n, false
		}
	default:
		if n := t.hosts6.insert(key6(p.Addr()), t.size, hash6); n != t.size {
			return n, false
		}
	}
	t.size++
	return t.size - 1, true
}

// find returns the number of the longest prefix that contains a, or none.
func (t *addrTable) find(a netip.Addr) uint32 {
	n := none
	if a.Is4() {
		n = t.hosts4.find(key4(a), hash4(key4(a)))
	} else {
		n = t.hosts6.find(key6(a), hash6(key6(a)))
	}
	if n == none {
		n = t.findNet(a)
	}
	return n
}

func (t *addrTable) findNet(a netip.Addr) uint32 {
	if n, ok := t.nets.Lookup(a); ok {
		return n
	}
	return none
}

// each calls f with each number and that of the next wider prefix, or none;
// wider prefixes come before narrower ones.
func (t *addrTable) each(f func(n, up uint32)) {
	for p, n := range t.nets.AllSorted() {
		f(n, t.enclosing(p))
	}
	for _, s := range t.hosts4.slots {
		if s.value != 0 {
			f(s.value-1, t.findNet(addr4(s.key)))
		}
	}
	for _, s := range t.hosts6.slots {
		if s.value != 0 {
			f(s.value-1, t.findNet(addr6(s.key)))
		}
	}
}

// enclosing returns the number of the longest prefix that is shorter than p and
// contains it, or none.
func (t *addrTable) enclosing(p netip.Prefix) uint32 {
	if p.Bits() == 0 {
		return none
	}
	wider := netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
	if n, ok := t.nets.LookupPrefix(wider); ok {
		return n
	}
	return none
}

// tree says which prefixes of a table contain which.
type tree struct {
	order []uint32 // the numbers, those of wider prefixes first
	up    []uint32 // by number: that of the next wider prefix, or none
}

func newTree(t *addrTable) tree {
	tr := tree{order: make([]uint32, 0, t.size), up: make([]uint32, t.size)}
	t.each(func(n, up uint32) {
		tr.order = append(tr.order, n)
		tr.up[n] = up
	})
	return tr
}

// depthFirst returns the numbers in an order in which each prefix is followed by all
// prefixes that it contains.
func (t tree) depthFirst() []uint32 {
	// The place of a prefix is after the wider one, and after its earlier siblings
	// with all that they contain.
	size := make([]uint32, len(t.up)) // by number: prefixes in it, with itself
	for _, n := range slices.Backward(t.order) {
		size[n]++
		if up := t.up[n]; up != none {
			size[up] += size[n]
		}
	}
	sorted, next, top := make([]uint32, len(t.up)), make([]uint32, len(t.up)), uint32(0)
	for _, n := range t.order {
		place := &top
		if up := t.up[n]; up != none {
			place = &next[up]
		}
		sorted[*place], next[n] = n, *place+1
		*place += size[n]
	}
	return sorted
}

func key4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func key6(a netip.Addr) [2]uint64 {
	b := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func addr4(k uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], k)
	return netip.AddrFrom4(b)
}

func addr6(k [2]uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k[0])
	binary.BigEndian.PutUint64(b[8:], k[1])
	return netip.AddrFrom16(b)
}

// mix spreads the bits of x: the finalizer of a 64-bit multiplicative hash.
func mix(x uint64) uint64 {
	x ^= x >> 32
	x *= 0x9e3779b97f4a7c15 // 2^64 over the golden ratio
	return x ^ x>>29
}

func hash4(k uint32) uint64    { return mix(uint64(k)) }
func hash6(k [2]uint64) uint64 { return mix(k[0] ^ mix(k[1])) }

// hostTable is a hash table with open addressing, at most half full.
type hostTable[K comparable] struct {
	slots []hostSlot[K] // a power of two of them, or none
	n     int
}

type hostSlot[K comparable] struct {
	key   K
	value uint32 // one more than the number, so that 0 is a free slot
}

// find returns the number of k, whose hash is h, or none.
func (t *hostTable[K]) find(k K, h uint64) uint32 {
	if len(t.slots) == 0 {
		return none
	}
	return t.slot(k, h).value - 1 // of a free slot: none
}

// slot returns the slot of k, or the free one that it belongs in.
func (t *hostTable[K]) slot(k K, h uint64) *hostSlot[K] {
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		if s := &t.slots[i]; s.value == 0 || s.key == k {
			return s
		}
	}
}

// insert returns the number of k. If k has none, insert gives it n.
func (t *hostTable[K]) insert(k K, n uint32, hash func(K) uint64) uint32 {
	if 2*(t.n+1) > len(t.slots) {
		t.grow(hash)
	}
	s := t.slot(k, hash(k))
	if s.value == 0 {
		*s = hostSlot[K]{key: k, value: n + 1}
		t.n++
	}
	return s.value - 1
}

func (t *hostTable[K]) grow(hash func(K) uint64) {
	old := t.slots
	t.slots = make([]hostSlot[K], max(8, 2*len(old)))
	for _, s := range old {
		if s.value != 0 {
			*t.slot(s.key, hash(s.key)) = s
		}
	}
}
