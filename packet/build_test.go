package packet_test

import (
	"encoding/binary"
	"net/netip"

	"tstun/ipproto"
	"tstun/packet"
)

var (
	src4 = netip.MustParseAddrPort("192.0.2.1:4000")
	dst4 = netip.MustParseAddrPort("198.51.100.2:80")
	src6 = netip.MustParseAddrPort("[2001:db8::1]:4000")
	dst6 = netip.MustParseAddrPort("[2001:db8:1::2]:80")
)

func udp4(n int) []byte {
	return packet.Generate(packet.UDPHeader{Src: src4, Dst: dst4}, make([]byte, n))
}

func udp6(n int) []byte {
	return packet.Generate(packet.UDPHeader{Src: src6, Dst: dst6}, make([]byte, n))
}

func tcp4(n int) []byte {
	return packet.Generate(packet.TCPHeader{Src: src4, Dst: dst4, Flags: packet.TCPSyn}, make([]byte, n))
}

func tcp6(n int) []byte {
	return packet.Generate(packet.TCPHeader{Src: src6, Dst: dst6, Flags: packet.TCPSyn}, make([]byte, n))
}

func ip4(proto ipproto.Proto, payload []byte) []byte {
	return packet.Generate(packet.IPHeader{Src: src4.Addr(), Dst: dst4.Addr(), Proto: proto}, payload)
}

func ip6(proto ipproto.Proto, payload []byte) []byte {
	return packet.Generate(packet.IPHeader{Src: src6.Addr(), Dst: dst6.Addr(), Proto: proto}, payload)
}

// edit returns b with the bytes at off overwritten.
func edit(b []byte, off int, with ...byte) []byte {
	b = append([]byte(nil), b...)
	copy(b[off:], with)
	return b
}

// cut returns the first n bytes of b with the total length to match.
func cut(b []byte, n int) []byte {
	b = append([]byte(nil), b[:n]...)
	if b[0]>>4 == 4 {
		binary.BigEndian.PutUint16(b[2:], uint16(n))
	} else {
		binary.BigEndian.PutUint16(b[4:], uint16(n-40))
	}
	return b
}

// options4 returns the IPv4 packet b with n bytes of options, n a multiple of 4.
func options4(b []byte, n int) []byte {
	out := append([]byte(nil), b[:20]...)
	for range n {
		out = append(out, 1) // no-operation
	}
	out = append(out, b[20:]...)
	out[0] += uint8(n / 4)
	return cut(out, len(out))
}

// ext returns an extension header of n*8 bytes.
func ext(kind uint8, n int) extension { return extension{kind: kind, body: make([]byte, n*8-2)} }

// routing returns a routing header of type typ.
func routing(typ, segmentsLeft uint8) extension {
	return extension{kind: 43, body: []byte{typ, segmentsLeft, 0, 0, 0, 0}}
}

// frag returns a fragment header.
func frag(offset int, more bool) extension {
	return extension{kind: 44, body: fragmentBody(offset, more, 0xabcd1234)}
}

func repeat(n int, e extension) (all []extension) {
	for range n {
		all = append(all, e)
	}
	return all
}

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
