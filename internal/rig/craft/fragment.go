package craft

import (
	"bytes"
	"encoding/binary"

	"tstun/packet"
)

// Fragment returns n bytes of pkt's IP payload from at on as a fragment, with the
// identification 77. pkt has neither options nor extension headers.
func Fragment(pkt []byte, at, n int, more bool) []byte {
	m := uint16(0)
	if more {
		m = 1
	}
	if pkt[0]>>4 == 4 {
		f := append(bytes.Clone(pkt[:20]), pkt[20+at:20+at+n]...)
		binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
		binary.BigEndian.PutUint16(f[4:], 77)
		binary.BigEndian.PutUint16(f[6:], m<<13|uint16(at/8))
		FixHeader(f)
		return f
	}
	f := append(bytes.Clone(pkt[:40]), pkt[6], 0, 0, 0, 0, 0, 0, 77)
	binary.BigEndian.PutUint16(f[42:], uint16(at)|m)
	f = append(f, pkt[40+at:40+at+n]...)
	f[6] = 44 // fragment header
	binary.BigEndian.PutUint16(f[4:], uint16(len(f)-40))
	return f
}

// Fragments cuts pkt into fragments with size bytes of data each, in order.
func Fragments(pkt []byte, size int, id uint16) (frags [][]byte) {
	n := len(pkt) - 20
	if pkt[0]>>4 == 6 {
		n = len(pkt) - 40
	}
	for at := 0; at < n; at += size {
		frags = append(frags, Identified(Fragment(pkt, at, min(size, n-at), at+size < n), id))
	}
	return frags
}

// Cut returns bytes from to to of pkt's IP payload as a fragment. It is the last one
// if to is the payload's end or beyond.
func Cut(pkt []byte, id uint32, from, to int) []byte {
	head := 20
	if pkt[0]>>4 == 6 {
		head = 40
	}
	end := len(pkt) - head
	f := Fragment(pkt, from, min(to, end)-from, to < end)
	identify(f, id)
	return f
}

// Identified returns the fragment b with another identification. The packet has
// neither options nor extension headers but that of the fragment.
func Identified(b []byte, id uint16) []byte {
	b = bytes.Clone(b)
	identify(b, uint32(id))
	return b
}

// identify sets a fragment's identification, of which IPv4 has the lower half.
func identify(b []byte, id uint32) {
	if b[0]>>4 == 6 {
		binary.BigEndian.PutUint32(b[44:], id)
		return
	}
	binary.BigEndian.PutUint16(b[4:], uint16(id))
	FixHeader(b)
}

// FixHeader sets the checksum of an IPv4 header with its options. It leaves a
// packet alone whose header is not whole.
func FixHeader(b []byte) {
	head := int(b[0]&0x0f) * 4
	if head < 20 || head > len(b) {
		return
	}
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^packet.Checksum(b[:head], 0))
}
