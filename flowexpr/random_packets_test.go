package flowexpr_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// The addresses and ports of random packets and expressions are few, so that they meet.
var (
	somePorts  = []uint16{0, 22, 53, 80, 443, 6000, 6003, 65535}
	someAddrs4 = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("0.0.0.0")}
	someAddrs6 = []netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00:1::2"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:10.0.0.1")}
	someProtos = []byte{1, 6, 6, 6, 17, 17, 17, 58, 132, 132, 47, 50, 99}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// randomPacket returns an IP packet, of which about half are not plain: fragments, options,
// extension headers, cut or with bytes behind, or with random bytes in them.
func randomPacket(r *rand.Rand) []byte {
	proto := pick(r, someProtos)
	payload := randomTransport(r, proto)
	if r.IntN(10) == 0 {
		payload = payload[:r.IntN(len(payload)+1)]
	}
	var b []byte
	if r.IntN(2) == 0 {
		b = packet4(r, proto, payload)
	} else {
		b = packet6(r, proto, payload)
	}
	switch r.IntN(16) {
	case 0:
		b = b[:r.IntN(len(b)+1)]
	case 1:
		b = append(b, make([]byte, 1+r.IntN(8))...)
	case 2:
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	case 3:
		for i := range b[1:min(len(b), 60)] {
			b[1+i] = byte(r.Uint32())
		}
	}
	return b
}

// randomTransport returns a transport header, and at most 24 bytes behind it.
func randomTransport(r *rand.Rand, proto byte) []byte {
	sizes := map[byte]int{6: 20, 17: 8, 132: 12}
	b := make([]byte, max(sizes[proto], 8)+r.IntN(4)*8)
	if sizes[proto] != 0 || r.IntN(2) == 0 {
		binary.BigEndian.PutUint16(b, pick(r, somePorts))
		binary.BigEndian.PutUint16(b[2:], pick(r, somePorts))
	}
	switch proto {
	case 6:
		b[12], b[13] = 5<<4, 0x10
	case 17:
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	}
	return b
}

// randomFragment returns the bits of an offset in units of eight bytes, and that more
// follow: mostly of no fragment.
func randomFragment(r *rand.Rand) (offset uint16, more bool) {
	switch r.IntN(6) {
	case 0:
		return 0, true
	case 1:
		return uint16(1 + r.IntN(100)), r.IntN(2) == 0
	}
	return 0, false
}

func packet4(r *rand.Rand, proto byte, payload []byte) []byte {
	options := make([]byte, 0, 12)
	switch r.IntN(8) {
	case 0:
		options = append(options, 1, 1, 1, 0)
	case 1:
		options = append(options, 131, 7, 4, 10, 0, 0, 1, 0) // a source route with a hop to visit
	case 2:
		options = append(options, 7, 200, 4, 0) // longer than the header
	}
	b := make([]byte, 20, 20+len(options)+len(payload))
	b = append(append(b, options...), payload...)
	b[0] = 4<<4 | byte(5+len(options)/4)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	offset, more := randomFragment(r)
	if more {
		offset |= 1 << 13
	}
	binary.BigEndian.PutUint16(b[6:], offset|uint16(r.IntN(2))<<14)
	b[8], b[9] = 64, proto
	copy(b[12:], pick(r, someAddrs4).AsSlice())
	copy(b[16:], pick(r, someAddrs4).AsSlice())
	return b
}

func packet6(r *rand.Rand, proto byte, payload []byte) []byte {
	chain, first := extensions(r, proto)
	b := make([]byte, 40, 40+len(chain)+len(payload))
	b = append(append(b, chain...), payload...)
	b[0], b[6], b[7] = 6<<4, first, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	copy(b[8:], pick(r, someAddrs6).AsSlice())
	copy(b[24:], pick(r, someAddrs6).AsSlice())
	return b
}

// extensions returns a chain of extension headers before proto, mostly none, and the
// number of the first.
func extensions(r *rand.Rand, proto byte) (chain []byte, first byte) {
	kinds := [][]byte{nil, nil, nil, {0}, {60}, {44}, {44}, {44}, {0, 44}, {43, 44}, {44, 60}, {51}, {60, 51}, {60, 0}, {44, 44}}
	numbers := append(append([]byte{}, pick(r, kinds)...), proto)
	for i, number := range numbers[:len(numbers)-1] {
		h := make([]byte, 8+8*r.IntN(2))
		h[0] = numbers[i+1]
		switch number {
		case 44:
			h = h[:8]
			offset, more := randomFragment(r)
			field := offset << 3
			if more {
				field |= 1
			}
			binary.BigEndian.PutUint16(h[2:], field)
		case 51:
			h[1] = byte(len(h)/4 - 2)
		case 43:
			h[1], h[2], h[3] = byte(len(h)/8-1), byte(2*r.IntN(2)), byte(r.IntN(4)/3)
		default:
			h[1] = byte(len(h)/8 - 1)
		}
		chain = append(chain, h...)
	}
	return chain, numbers[0]
}
