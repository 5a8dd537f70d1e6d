package packet

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"tstun/ipproto"
)

// Checksum returns the one's-complement sum (RFC 1071) of the big-endian
// 16-bit words of b and of initial, folded to 16 bits and not inverted: the
// value for a header's checksum field is its complement. An odd last byte
// counts as the upper half of a word. A sum can be continued by passing it
// as initial, as long as the parts before the last have even lengths. The
// result is 0 only if everything summed is.
func Checksum(b []byte, initial uint16) uint16 {
	// Another byte order swaps the two bytes of the sum, and changes nothing else
	// (RFC 1071 §2B). Most machines load little-endian words.
	le := binary.LittleEndian
	var sum, other, carry uint64
	for len(b) >= 64 { // two sums, which a processor computes in parallel
		c := b[:64:64]
		sum, carry = bits.Add64(sum, le.Uint64(c), 0)
		sum, carry = bits.Add64(sum, le.Uint64(c[8:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(c[16:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(c[24:]), carry)
		sum += carry // cannot wrap: the carry is there only if sum wrapped itself
		other, carry = bits.Add64(other, le.Uint64(c[32:]), 0)
		other, carry = bits.Add64(other, le.Uint64(c[40:]), carry)
		other, carry = bits.Add64(other, le.Uint64(c[48:]), carry)
		other, carry = bits.Add64(other, le.Uint64(c[56:]), carry)
		other += carry
		b = b[64:]
	}
	sum, carry = bits.Add64(sum, other, 0)
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, le.Uint64(b), carry)
		b = b[8:]
	}
	tail := uint64(bits.ReverseBytes16(initial))
	if len(b) >= 4 {
		tail += uint64(le.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		tail += uint64(le.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		tail += uint64(b[0])
	}
	sum, carry = bits.Add64(sum, tail, carry)
	return bits.ReverseBytes16(Fold(sum + carry))
}

// Fold returns the one's-complement sum (RFC 1071) of the four 16-bit words of sum.
// Results of Checksum may be added as integers before Fold.
func Fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum)
}

// PseudoHeaderSum returns the one's-complement sum, folded and not inverted,
// of the pseudo-header that TCP, UDP and ICMPv6 checksums cover: RFC 9293
// §3.1, RFC 8200 §8.1. length is that of transport header and payload in
// bytes. src and dst are of one family; zones do not count.
func PseudoHeaderSum(proto ipproto.Proto, src, dst netip.Addr, length int) uint16 {
	sum := uint64(proto) + uint64(uint32(length))
	return Fold(sum + uint64(addrSum(src)) + uint64(addrSum(dst)))
}

// addrSum returns the folded sum of a's 4 or 16 bytes.
func addrSum(a netip.Addr) uint16 {
	if a.Is4() {
		b := a.As4()
		return addrBytesSum(b[:])
	}
	b := a.As16()
	return addrBytesSum(b[:])
}

// addrBytesSum returns the folded sum of 4 or 16 bytes.
func addrBytesSum(b []byte) uint16 {
	if len(b) == 4 {
		return Fold(uint64(binary.BigEndian.Uint32(b)))
	}
	sum, carry := bits.Add64(binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), 0)
	return Fold(sum + carry)
}

// updateChecksum replaces, in the checksum field at field[0:2], the part that
// was summed to before by one that sums to after: RFC 1624 equation 3.
func updateChecksum(field []byte, before, after uint16) {
	sum := ^binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, ^Fold(uint64(sum)+uint64(^before)+uint64(after)))
}
