package packet_test

import (
	"encoding/binary"
	"testing"
)

// slowSum is the sum of RFC 1071 as its text says it: word by word, each
// carry added at once. Parts count as if they stood one behind the other.
func slowSum(parts ...[]byte) uint16 {
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	if len(all)%2 != 0 {
		all = append(all, 0)
	}
	var sum uint32
	for i := 0; i < len(all); i += 2 {
		sum += uint32(all[i])<<8 | uint32(all[i+1])
		if sum > 0xffff {
			sum -= 0xffff
		}
	}
	return uint16(sum)
}

// layout is where the naive reader below found things in a packet.
type layout struct {
	proto     uint8
	transport []byte // nil for a later fragment
	fragment  bool   // the transport is not whole
}

// slowLayout finds the transport header of a good packet, walking the
// headers with none of Decode's checks.
func slowLayout(b []byte) layout {
	if b[0]>>4 == 4 {
		l := layout{proto: b[9], transport: b[int(b[0]&15)*4 : binary.BigEndian.Uint16(b[2:])]}
		if field := binary.BigEndian.Uint16(b[6:]) & 0x3fff; field != 0 {
			l.fragment = true
			if field&0x1fff != 0 {
				l.transport = nil
			}
		}
		return l
	}
	l := layout{proto: b[6], transport: b[40 : 40+int(binary.BigEndian.Uint16(b[4:]))]}
	for {
		h := l.transport
		switch l.proto {
		case 0, 43, 60:
			l.proto, l.transport = h[0], h[8+8*int(h[1]):]
		case 51:
			l.proto, l.transport = h[0], h[8+4*int(h[1]):]
		case 44:
			l.proto, l.transport = h[0], h[8:]
			field := binary.BigEndian.Uint16(h[2:])
			if field&^6 != 0 {
				l.fragment = true
			}
			if field>>3 != 0 {
				l.transport = nil
				return l
			}
		default:
			return l
		}
	}
}

// slowChecksums reports which checksums of the good packet b are right,
// summing everything anew. A checksum that is not there is right; the
// transport's of a fragment cannot be known.
func slowChecksums(b []byte) (ipOK, transportOK bool) {
	ipOK = b[0]>>4 == 6 || slowSum(b[:int(b[0]&15)*4]) == 0xffff
	l := slowLayout(b)
	if l.transport == nil || l.fragment {
		return ipOK, true
	}
	return ipOK, slowTransportSum(b, l) == 0xffff
}

// slowTransportSum returns the sum over the transport header, its payload
// and the pseudo-header where it counts; a right checksum makes it 0xffff.
// Of a fragment, too, it may not change when an address does.
func slowTransportSum(b []byte, l layout) uint16 {
	t := l.transport
	var addrs []byte
	if b[0]>>4 == 4 {
		addrs = b[12:20]
	} else {
		addrs = b[8:40]
	}
	switch {
	case l.proto == 17:
		if !l.fragment {
			t = t[:binary.BigEndian.Uint16(t[4:])]
		}
		if t[6] == 0 && t[7] == 0 {
			return 0xffff // none
		}
	case l.proto == 6, l.proto == 33, l.proto == 136, l.proto == 58 && b[0]>>4 == 6:
	case l.proto == 1 && b[0]>>4 == 4:
		addrs = nil
	default:
		return 0xffff // none that this package knows of
	}
	if addrs == nil {
		return slowSum(t)
	}
	pseudo := binary.BigEndian.AppendUint32(append([]byte(nil), addrs...), uint32(len(t)))
	return slowSum(append(pseudo, 0, 0, 0, l.proto), t)
}

// wantChecksums fails t unless all checksums of b are right.
func wantChecksums(t *testing.T, b []byte) {
	t.Helper()
	ipOK, transportOK := slowChecksums(b)
	if !ipOK || !transportOK {
		t.Errorf("checksums: IP header right %v, transport right %v, in % x", ipOK, transportOK, b[:min(len(b), 80)])
	}
}
