package craft

import (
	"encoding/binary"
	"testing"

	"tstun/ipproto"
)

// sum returns the Internet checksum, the slow way (RFC 1071).
func sum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for i := range b {
			if i%2 == 0 {
				sum += uint32(b[i]) << 8
			} else {
				sum += uint32(b[i])
			}
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// WantChecksums recomputes every checksum of a packet without extension
// headers from scratch: over a right one, the sum is all ones.
func WantChecksums(t *testing.T, b []byte) {
	t.Helper()
	var header int
	var addrs []byte
	var proto byte
	if b[0]>>4 == 6 {
		header, addrs, proto = 40, b[8:40], b[6]
	} else {
		header, addrs, proto = 20, b[12:20], b[9]
		if sum(b[:20]) != 0xffff {
			t.Errorf("IPv4 header checksum is wrong: %x", b[:20])
		}
	}
	transport := b[header:]
	pseudo := binary.BigEndian.AppendUint32(append([]byte(nil), addrs...), uint32(len(transport)))
	pseudo = append(pseudo, 0, 0, 0, proto)
	switch ipproto.Proto(proto) {
	case ipproto.UDP:
		if transport[6] == 0 && transport[7] == 0 && b[0]>>4 == 4 {
			return
		}
	case ipproto.ICMPv4:
		pseudo = nil
	}
	if sum(pseudo, transport) != 0xffff {
		t.Errorf("checksum of protocol %d is wrong: %x", proto, b)
	}
}
