package packet_test

import "encoding/binary"

// extension is an IPv6 extension header for withExtensions: body is what
// follows its first two bytes, or after the first byte for a fragment header
// (kind 44), whose second byte is reserved all the same.
type extension struct {
	kind uint8
	body []byte
	// length overrides the length field if not 0, lengthZero sets it to 0.
	length     uint8
	lengthZero bool
}

// withExtensions returns the IPv6 packet b with the extension headers put
// between its IP header and what follows, and its payload length adapted.
func withExtensions(b []byte, exts ...extension) []byte {
	out := append([]byte(nil), b[:40]...)
	next, at := b[6], 6
	for _, e := range exts {
		out[at] = e.kind
		at = len(out)
		n := uint8((2+len(e.body))/8 - 1)
		if e.kind == 51 {
			n = uint8((2+len(e.body))/4 - 2)
		}
		if e.kind == 44 {
			n = 0
		}
		if e.length != 0 || e.lengthZero {
			n = e.length
		}
		out = append(append(out, 0, n), e.body...)
	}
	out[at] = next
	out = append(out, b[40:]...)
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	return out
}

// fragmentBody returns the body of a fragment header.
func fragmentBody(offset int, more bool, id uint32) []byte {
	field := uint16(offset)
	if more {
		field |= 1
	}
	b := binary.BigEndian.AppendUint16(nil, field)
	return binary.BigEndian.AppendUint32(b, id)
}

// fragment4 returns the IPv4 packet b, made by Generate, marked as a
// fragment, with a right header checksum.
func fragment4(b []byte, offset int, more bool) []byte {
	b = append([]byte(nil), b...)
	field := uint16(offset / 8)
	if more {
		field |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], field)
	fixIPv4Checksum(b)
	return b
}

func fixIPv4Checksum(b []byte) {
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^slowSum(b[:int(b[0]&15)*4]))
}
