package proxy

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// maxUDPHeader is the length of a header with an IPv6 address. RFC 1928 §7.
const maxUDPHeader = 4 + 16 + 2

// Errors of datagrams that a relay drops.
var (
	errFragment = errors.New("datagram is a fragment")
	errHeader   = errors.New("datagram has no valid header")
)

// udpHeader says where a client's datagram goes.
type udpHeader struct {
	addr netip.AddrPort // without an address if there is a name
	name []byte         // part of the datagram
}

// parseUDPHeader returns the header of b, and the rest of b.
func parseUDPHeader(b []byte) (h udpHeader, data []byte, err error) {
	if len(b) < 4 || b[0] != 0 || b[1] != 0 {
		return udpHeader{}, nil, errHeader
	}
	if b[2] != 0 {
		return udpHeader{}, nil, errFragment
	}
	kind, b := b[3], b[4:]
	length := 0
	switch {
	case kind == addressIPv4:
		length = 4
	case kind == addressIPv6:
		length = 16
	case kind == addressDomain && len(b) > 0 && b[0] > 0:
		length, b = int(b[0]), b[1:]
	default:
		return udpHeader{}, nil, errHeader
	}
	if len(b) < length+2 {
		return udpHeader{}, nil, errHeader
	}
	var ip netip.Addr
	if kind == addressDomain {
		h.name = b[:length]
	} else {
		ip, _ = netip.AddrFromSlice(b[:length])
	}
	h.addr = netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[length:]))
	return h, b[length+2:], nil
}

// appendUDPHeader appends the header of a datagram that came from a.
func appendUDPHeader(b []byte, a netip.AddrPort) []byte {
	return appendAddr(append(b, 0, 0, 0), a)
}
