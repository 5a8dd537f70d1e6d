package gso

import (
	"encoding/binary"

	"tstun/ipproto"
)

// segment describes one TCP or UDP packet.
type segment struct {
	proto     ipproto.Proto
	transport int32  // offset of the transport header
	header    int32  // length of all headers
	size      int32  // payload bytes
	seq       uint32 // sequence number of the next segment; TCP
}

// class says which other packets a packet may join or must not overtake.
type class uint8

const (
	alone    class = iota // joins nothing and has no order with others
	inOrder               // joins nothing, and later packets of its flow must not overtake it
	joinable              // may join others of its flow
	barrier               // may belong to any flow
)

// classify reads one packet, which is not empty.
func (seg *segment) classify(p []byte, kinds Kinds) class {
	switch p[0] >> 4 {
	case 4:
		if len(p) < minIPv4Header || p[0] != 0x45 || int(binary.BigEndian.Uint16(p[2:])) != len(p) ||
			p[6]&^0x40 != 0 || p[7] != 0 { // a fragment, or the reserved bit
			return barrier
		}
		seg.proto, seg.transport = ipproto.Proto(p[9]), minIPv4Header
	case 6:
		if len(p) < ipv6HeaderLen || int(binary.BigEndian.Uint16(p[4:]))+ipv6HeaderLen != len(p) {
			return barrier
		}
		seg.proto, seg.transport = ipproto.Proto(p[6]), ipv6HeaderLen
	default:
		return barrier
	}
	transport := p[seg.transport:]
	switch {
	case seg.proto == ipproto.TCP:
		return seg.classifyTCP(transport, kinds)
	case seg.proto == ipproto.UDP:
		return seg.classifyUDP(transport, kinds)
	case seg.transport == minIPv4Header || seg.proto == ipproto.ICMPv6:
		return alone
	}
	return barrier // an extension header, and an unknown flow
}

func (seg *segment) classifyTCP(b []byte, kinds Kinds) class {
	if !kinds.TCP {
		return alone
	}
	if len(b) < minTCPHeader {
		return barrier
	}
	length := int(b[12]>>4) * 4
	seg.header = seg.transport + int32(length)
	seg.size = int32(len(b) - length)
	if length < minTCPHeader || seg.size <= 0 || b[13]&^tcpPSH != tcpACK || b[12]&0x0f != 0 {
		return inOrder
	}
	seg.seq = binary.BigEndian.Uint32(b[4:]) + uint32(seg.size)
	return joinable
}

func (seg *segment) classifyUDP(b []byte, kinds Kinds) class {
	if !kinds.UDP {
		return alone
	}
	if len(b) < udpHeaderLen {
		return barrier
	}
	seg.header = seg.transport + udpHeaderLen
	seg.size = int32(len(b) - udpHeaderLen)
	if seg.size == 0 || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
		return inOrder
	}
	if seg.transport != minIPv4Header && !hasChecksum(b) {
		return inOrder // few receivers take it (RFC 8200 §8.1), and with a checksum all would
	}
	return joinable
}

// hasChecksum reports whether the sender of a UDP datagram made a checksum (RFC 768).
func hasChecksum(udp []byte) bool { return binary.NativeEndian.Uint16(udp[udpChecksumAt:]) != 0 }

// flowHash returns the slot of p's flow: a hash of addresses, protocol and ports.
func flowHash(p []byte, seg *segment) int {
	h := (uint64(binary.NativeEndian.Uint32(p[seg.transport:])) + uint64(seg.proto)<<32) * 0x9e3779b97f4a7c15
	if seg.transport == minIPv4Header {
		h ^= binary.NativeEndian.Uint64(p[12:])
	} else {
		h ^= binary.NativeEndian.Uint64(p[8:]) ^ binary.NativeEndian.Uint64(p[16:])*3 ^
			binary.NativeEndian.Uint64(p[24:])*5 ^ binary.NativeEndian.Uint64(p[32:])*7
	}
	return int(h * 0xff51afd7ed558ccd >> 56)
}
