package flow

import (
	"math/bits"
	"math/rand/v2"

	"tstun/ipproto"
	"tstun/packet"
)

// hashKey is the process's secret. Without it, nobody can choose keys that collide.
// All tables share it, so a key is hashed once for several tables.
var hashKey = newHasher()

// hasher hashes flow keys with a secret key.
//
// The first step is NH of UMAC (RFC 4418 §5.2.1) on words of 64 bits: two
// different flow keys have the same 128-bit sum with a probability of 2^-64 over
// all secret keys. The second step folds the sum.
type hasher struct {
	key [8]uint64
}

func newHasher() (h hasher) {
	for i := range h.key {
		h.key[i] = rand.Uint64() // ChaCha8, seeded by the system
	}
	h.key[7] |= 1
	return h
}

func (h *hasher) hash(k *Key) uint64 {
	return h.words(k.hostHi, k.hostLo, k.peerHi, k.peerLo, k.rest)
}

// words returns the hash of a flow key that is given by its words.
func (h *hasher) words(hostHi, hostLo, peerHi, peerLo, rest uint64) uint64 {
	s := &h.key
	hi0, lo0 := bits.Mul64(hostHi+s[0], hostLo+s[1])
	hi1, lo1 := bits.Mul64(peerHi+s[2], peerLo+s[3])
	hi2, lo2 := bits.Mul64(rest+s[4], s[5])
	lo, c := bits.Add64(lo0, lo1, 0)
	hi, _ := bits.Add64(hi0, hi1, c)
	lo, c = bits.Add64(lo, lo2, 0)
	hi, _ = bits.Add64(hi, hi2, c)
	x, y := bits.Mul64(lo^s[6], s[7])
	z, w := bits.Mul64(hi^x^y, s[7])
	return z ^ w
}

// ID is a Key with its hash, which is computed once for all look-ups. The zero ID
// names no flow.
type ID struct {
	key  Key // tagged
	hash uint64
}

// ID returns the ID of k. It is valid in this process only.
func (k Key) ID() (id ID) {
	id.set(k.hostHi, k.hostLo, k.peerHi, k.peerLo, k.rest)
	return id
}

// SetIn sets id to the ID of In(p), or to the zero ID if p is malformed.
func (id *ID) SetIn(p *packet.Parsed) {
	if p.IPVersion == 0 {
		*id = ID{}
		return
	}
	srcHi, srcLo, dstHi, dstLo := p.Addrs()
	id.set(dstHi, dstLo, srcHi, srcLo, uint64(p.Dst.Port())<<48|uint64(p.Src.Port())<<32|protoAndFamily(p))
}

// SetOut sets id to the ID of Out(p), or to the zero ID if p is malformed.
func (id *ID) SetOut(p *packet.Parsed) {
	if p.IPVersion == 0 {
		*id = ID{}
		return
	}
	srcHi, srcLo, dstHi, dstLo := p.Addrs()
	id.set(srcHi, srcLo, dstHi, dstLo, uint64(p.Src.Port())<<48|uint64(p.Dst.Port())<<32|protoAndFamily(p))
}

// set writes id word by word: a processor stalls where a key is copied in larger
// pieces and read again at once.
func (id *ID) set(hostHi, hostLo, peerHi, peerLo, rest uint64) {
	h := hashKey.words(hostHi, hostLo, peerHi, peerLo, rest)
	id.key = Key{hostHi, hostLo, peerHi, peerLo, rest | tag(h)}
	id.hash = h
}

// SetSide sets id to the ID of a key that has nothing of the key of other but the address
// of one side, that of the peer or of the host, as its peer's, and the given protocol and
// port.
func (id *ID) SetSide(other *ID, peer bool, proto ipproto.Proto, port uint16) {
	k := &other.key
	hi, lo, family := k.hostHi, k.hostLo, k.rest>>4
	if peer {
		hi, lo, family = k.peerHi, k.peerLo, k.rest
	}
	id.set(0, 0, hi, lo, uint64(port)<<32|uint64(proto)<<8|family&0xf)
}

// Key returns the key of id.
func (id *ID) Key() Key { return id.key.untagged() }

// IsZero reports whether id is the zero ID.
func (id *ID) IsZero() bool { return id.key.rest == 0 }

// SameSide reports whether the keys of id and other have the same address of one side,
// that of the peer or of the host.
func (id *ID) SameSide(other *ID, peer bool) bool {
	k, o := &id.key, &other.key
	if peer {
		return (k.peerHi^o.peerHi)|(k.peerLo^o.peerLo)|(k.rest^o.rest)&0xf == 0
	}
	return (k.hostHi^o.hostHi)|(k.hostLo^o.hostLo)|(k.rest^o.rest)&0xf0 == 0
}

// Port returns the port of one side of the key, that of the peer or of the host.
func (id *ID) Port(peer bool) uint16 {
	if peer {
		return uint16(id.key.rest >> 32)
	}
	return uint16(id.key.rest >> 48)
}

// TagWithoutPort returns the Tag of the key of id without the port of one side, that of the
// peer or of the host.
func (id *ID) TagWithoutPort(peer bool) uint16 {
	k := &id.key
	return tagOf(k.hostHi, k.hostLo, k.peerHi, k.peerLo, id.restWithoutPort(peer))
}

// IsWithoutPort reports whether the key of id without the port of one side, that of the
// peer or of the host, is k.
func (id *ID) IsWithoutPort(k *Key, peer bool) bool {
	of := &id.key
	return (of.hostHi^k.hostHi)|(of.hostLo^k.hostLo)|(of.peerHi^k.peerHi)|(of.peerLo^k.peerLo)|
		(id.restWithoutPort(peer)^k.rest) == 0
}

// restWithoutPort returns Key.rest without the tag and the port of one side.
func (id *ID) restWithoutPort(peer bool) uint64 {
	if peer {
		return id.key.rest &^ (tagMask | 0xffff<<32)
	}
	return id.key.rest &^ (tagMask | 0xffff<<48)
}

// Equal reports whether id and other have the same key.
func (id *ID) Equal(other *ID) bool { return id.hash == other.hash && id.key.equal(&other.key) }
