package packet

import (
	"tstun/ipproto"
	"tstun/key"
)

const (
	discoMagic    = "TS\xf0\x9f\x92\xac"
	discoKeyLen   = 32
	discoNonceLen = 24
	discoMin      = len(discoMagic) + discoKeyLen + discoNonceLen
)

// DiscoKey returns the sender's public key of the disco message that p, a
// UDP datagram or its first fragment, carries: the magic bytes 54 53 f0 9f
// 92 ac, the key, and at least a nonce of 24 bytes. A zero key is none.
func (p *Parsed) DiscoKey() (key.DiscoPublic, bool) {
	if p.proto != ipproto.UDP || p.transOff == 0 {
		return key.DiscoPublic{}, false
	}
	m := p.Payload()
	if len(m) < discoMin || string(m[:len(discoMagic)]) != discoMagic {
		return key.DiscoPublic{}, false
	}
	k := key.DiscoPublicFromRaw32([32]byte(m[len(discoMagic):]))
	return k, !k.IsZero()
}
