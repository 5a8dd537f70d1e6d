package packet

import (
	"encoding/binary"

	"tstun/ipproto"
)

// Fragment says which part of a datagram a packet carries.
type Fragment struct {
	// ID is the datagram's identification: 16 bits in IPv4, 32 in IPv6.
	ID uint32
	// Offset is the position of the fragment's data in the datagram, and Len
	// their length, both in bytes.
	Offset, Len int
	// More: this is not the last fragment.
	More bool
}

// Fragment returns which part of a datagram p carries. ok is false if p is not a
// fragment, is malformed or has bad options. An IPv6 packet with a fragment header of
// offset 0 and without more fragments is a whole datagram (RFC 6946).
func (p *Parsed) Fragment() (f Fragment, ok bool) {
	if !p.IsFragment() {
		return Fragment{}, false
	}
	f.Len = len(p.b) - int(p.fragStart)
	if p.IPVersion == 4 {
		field := binary.BigEndian.Uint16(p.b[6:])
		f.ID = uint32(binary.BigEndian.Uint16(p.b[4:]))
		f.Offset, f.More = int(field&0x1fff)*8, field&0x2000 != 0
		return f, true
	}
	h := p.b[p.fragStart-8:]
	field := binary.BigEndian.Uint16(h[2:])
	f.ID = binary.BigEndian.Uint32(h[4:])
	f.Offset, f.More = int(field&^7), field&1 != 0
	return f, true
}

// IsFragment reports whether p is a fragment, as Fragment's ok does.
func (p *Parsed) IsFragment() bool { return p.kind&(kindFirst|kindLater) != 0 }

// fragment marks p as a fragment. Its data start at start in p, and at offset in the
// datagram. fragment reports whether that is possible: the datagram, with the head bytes
// of header that count for it, is not longer than MaxLen; the length of all but the last
// fragment is a multiple of eight; a later fragment is not empty.
func (p *Parsed) fragment(start, head, offset int, more bool) bool {
	p.fragStart = uint16(start)
	p.kind |= kindFirst
	if offset != 0 {
		p.kind ^= kindFirst | kindLater
	}
	if p.kind&kindQuote != 0 {
		return true // the end may be missing
	}
	n := len(p.b) - start
	if head+offset+n > MaxLen || more && n%8 != 0 {
		return false
	}
	return offset == 0 || n > 0
}

// fragmentTransport decodes the transport header of a first fragment, and returns its
// ports, or checks a later one.
func (p *Parsed) fragmentTransport(b []byte, off int) (ports uint32) {
	if p.kind&kindFirst != 0 {
		return p.transport(b, off)
	}
	p.IPProto = ipproto.Fragment
	if f, _ := p.Fragment(); f.Offset < minTransport(p.proto) {
		p.problem = ProblemTinyFragment
		return 0
	}
	p.payOff = p.fragStart
	return 0
}

// minTransport returns the offset in a datagram of this protocol at which later fragments
// may begin.
func minTransport(proto ipproto.Proto) int {
	switch proto {
	case ipproto.TCP:
		return tcpLen
	case ipproto.SCTP:
		return sctpLen
	}
	return 8 // the smallest offset there is
}
