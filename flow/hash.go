package flow

import (
	"math/bits"
	"math/rand/v2"
)

// hasher hashes keys so that nobody who does not know its secret can choose
// keys that collide. Each Table has its own.
//
// The first step is NH of UMAC (RFC 4418 §5.2.1) on words of 64 bits: two
// different keys have the same 128-bit sum with a probability of 2^-64 over
// the secrets. The second folds the sum.
type hasher struct {
	secret [8]uint64
}

func newHasher() (h hasher) {
	for i := range h.secret {
		h.secret[i] = rand.Uint64() // ChaCha8, seeded by the system
	}
	h.secret[7] |= 1
	return h
}

func (h *hasher) hash(k *Key) uint64 {
	s := &h.secret
	hi0, lo0 := bits.Mul64(k.hostHi+s[0], k.hostLo+s[1])
	hi1, lo1 := bits.Mul64(k.peerHi+s[2], k.peerLo+s[3])
	hi2, lo2 := bits.Mul64(k.rest+s[4], s[5])
	lo, c := bits.Add64(lo0, lo1, 0)
	hi, _ := bits.Add64(hi0, hi1, c)
	lo, c = bits.Add64(lo, lo2, 0)
	hi, _ = bits.Add64(hi, hi2, c)
	x, y := bits.Mul64(lo^s[6], s[7])
	z, w := bits.Mul64(hi^x^y, s[7])
	return z ^ w
}
