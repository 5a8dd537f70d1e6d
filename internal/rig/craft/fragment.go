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
		fixHeader(f)
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

// Identified returns the fragment b with another identification. Neither
// version of IP has options or further extension headers.
func Identified(b []byte, id uint16) []byte {
	b = bytes.Clone(b)
	if b[0]>>4 == 6 {
		binary.BigEndian.PutUint16(b[46:], id)
		return b
	}
	binary.BigEndian.PutUint16(b[4:], id)
	fixHeader(b)
	return b
}

// fixHeader sets the checksum of an IPv4 header without options.
func fixHeader(b []byte) {
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^packet.Checksum(b[:20], 0))
}
