package packet

import (
	"encoding/binary"

	"tstun/ipproto"
)

// The IPv6 extension headers that Decode walks, by Next Header value. It takes all other
// values for transport protocols, also "no next header" and ESP, whose payload is
// encrypted.
const (
	extHopByHop = 0  // RFC 8200 §4.3
	extRouting  = 43 // RFC 8200 §4.4
	extFragment = 44 // RFC 8200 §4.5
	extAuth     = 51 // RFC 4302 §2
	extDestOpts = 60 // RFC 8200 §4.6
)

const (
	maxExtensions = 8 // more than any sender needs; RFC 8504 §5.3 allows a limit
	extMin        = 8 // RFC 8200 §4: lengths are multiples of eight bytes
	authMin       = 1 // RFC 4302 §2.2: AH is never shorter than 12 bytes
)

func isExtension(next uint8) bool {
	switch next {
	case extHopByHop, extRouting, extFragment, extAuth, extDestOpts:
		return true
	}
	return false
}

// walk walks the extension headers of the IPv6 packet b. It sets proto, and the fields of
// a fragment, and returns the offset of the transport header or of a later fragment's
// data. If it cannot, it sets problem and returns 0.
func (p *Parsed) walk(b []byte) (off int) {
	off = ip6Len
	next := b[6]
	seenFragment := false
	for n := 0; isExtension(next); n++ {
		if n == maxExtensions || next == extHopByHop && n > 0 || next == extFragment && seenFragment {
			return p.badChain(ProblemExtensionHeaders)
		}
		if len(b)-off < extMin {
			return p.chainLeavesPacket()
		}
		h := b[off:]
		size := extensionLen(next, h)
		if size == 0 {
			return p.badChain(ProblemExtensionHeaders)
		}
		if size > len(h) {
			return p.chainLeavesPacket()
		}
		if next == extFragment {
			seenFragment = true
			if !p.fragmentHeader(h, off) {
				return p.badChain(ProblemMalformed)
			}
		}
		next = h[0]
		off += size
		if p.kind&kindLater != 0 {
			break
		}
	}
	if next == extHopByHop {
		return p.badChain(ProblemExtensionHeaders)
	}
	p.proto = ipproto.Proto(next)
	return off
}

// extensionLen returns the length of the extension header h of kind next, or 0 if h is
// refused: a routing header of type 0 (RFC 5095), or one with a hop still to visit. Then
// the packet's final destination, which its checksums cover, is not the one in its IP
// header.
func extensionLen(next uint8, h []byte) int {
	switch next {
	case extFragment:
		return 8
	case extAuth:
		if h[1] < authMin {
			return 0
		}
		return 8 + 4*int(h[1])
	case extRouting:
		if kind, segmentsLeft := h[2], h[3]; kind == 0 || segmentsLeft != 0 {
			return 0
		}
	}
	return 8 + 8*int(h[1])
}

// fragmentHeader decodes the fragment header h at offset off and reports whether it is
// possible. An atomic fragment is a whole packet: RFC 6946.
func (p *Parsed) fragmentHeader(h []byte, off int) bool {
	field := binary.BigEndian.Uint16(h[2:])
	offset, more := int(field&^7), field&1 != 0
	if offset == 0 && !more {
		return true
	}
	return p.fragment(off+8, off-ip6Len, offset, more)
}

// badChain marks p as a packet with a problem in its extension headers. It returns 0.
func (p *Parsed) badChain(problem Problem) (off int) {
	p.problem = problem
	p.proto = ipproto.Unknown
	return 0
}

// chainLeavesPacket marks p as a packet that ends within its extension headers. It
// returns 0. Of a first fragment, the rest of them is in the next one: RFC 7112.
func (p *Parsed) chainLeavesPacket() (off int) {
	p.badChain(ProblemExtensionHeaders)
	if p.kind&kindFirst != 0 {
		p.IPProto = ipproto.Fragment
		p.problem = ProblemTinyFragment
	}
	return 0
}
