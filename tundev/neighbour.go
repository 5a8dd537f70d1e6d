package tundev

import (
	"bytes"
	"encoding/binary"
)

const (
	arpSize  = 28 // RFC 826, for Ethernet and IPv4
	arpReply = 2

	ipv6Size         = 40
	protoICMPv6      = 58
	hopLimit         = 255  // RFC 4861 §7.1.1: proves that no router was passed
	typeSolicit      = 135  // RFC 4861 §4.3
	typeAdvert       = 136  // RFC 4861 §4.4
	solicitSize      = 24   // without options
	advertSize       = 32   // with the link-layer address
	optionSourceAddr = 1    // RFC 4861 §4.6.1
	optionTargetAddr = 2    // as above
	flagsAdvert      = 0x40 // solicited; a proxy overrides nothing (§7.2.8)

	// maxReply is the size of the longest frame of neighbourReply.
	maxReply = etherSize + ipv6Size + advertSize
)

// asksNeighbour reports whether the frame is an ARP message or a neighbour
// solicitation, also one that gets no reply.
func asksNeighbour(frame []byte) bool {
	ip := frame[etherSize:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		return true
	case etherIPv6:
		return len(ip) >= ipv6Size+solicitSize && ip[0]>>4 == 6 &&
			ip[6] == protoICMPv6 && ip[ipv6Size] == typeSolicit
	}
	return false
}

// isNeighbourly reports whether the frame is one that asksNeighbour knows, or a
// neighbour advertisement.
func isNeighbourly(frame []byte) bool { return asksNeighbour(frame) || isDiscovery(frame, typeAdvert) }

// neighbourReply writes the reply to a frame that asks for a neighbour. reply has
// room for maxReply bytes. neighbourReply returns the length of the reply, or 0
// if there is none.
func neighbourReply(reply, question []byte) int {
	if binary.BigEndian.Uint16(question[12:]) == etherARP {
		return replyToARP(reply, question)
	}
	return replyToSolicit(reply, question)
}

// replyToARP replies to an ARP request. It does not reply to probes (RFC 5227
// §2.1.1: no sender address) nor to announcements (§2.3: the sender asks for
// itself).
func replyToARP(reply, frame []byte) int {
	if len(frame) < etherSize+arpSize {
		return 0
	}
	q := frame[etherSize:]
	sender, target := q[14:18], q[24:28]
	const etherAndIPv4 = "\x00\x01\x08\x00\x06\x04\x00\x01" // …, opcode 1, request
	if string(q[:8]) != etherAndIPv4 || bytes.Equal(sender, target) || allZero(sender) {
		return 0
	}
	putEther(reply, macAt(frame[6:]), tapMAC, etherARP)
	a := reply[etherSize:]
	copy(a, q[:6])
	binary.BigEndian.PutUint16(a[6:], arpReply)
	tapMAC.put(a[8:])
	copy(a[14:], target)
	copy(a[18:], q[8:18])
	return etherSize + arpSize
}

// replyToSolicit replies to a neighbour solicitation (RFC 4861 §7.2.4) that is
// valid by §7.1.1. It does not reply to duplicate address detection, which has
// no source address (RFC 4862 §5.4).
func replyToSolicit(reply, frame []byte) int {
	ip := frame[etherSize:]
	size := int(binary.BigEndian.Uint16(ip[4:]))
	src, target := ip[8:24], ip[48:64]
	if size < solicitSize || size > len(ip)-ipv6Size || ip[7] != hopLimit || ip[ipv6Size+1] != 0 ||
		allZero(src) || target[0] == 0xff || icmpv6Sum(ip[:ipv6Size+size]) != 0 {
		return 0
	}
	clear(reply[:maxReply])
	putEther(reply, macAt(frame[6:]), tapMAC, etherIPv6)
	out := reply[etherSize:maxReply]
	out[0] = 6 << 4
	binary.BigEndian.PutUint16(out[4:], advertSize)
	out[6], out[7] = protoICMPv6, hopLimit
	copy(out[8:], target)
	copy(out[24:], src)
	advert := out[ipv6Size:]
	advert[0], advert[4] = typeAdvert, flagsAdvert
	copy(advert[8:], target)
	advert[24], advert[25] = optionTargetAddr, 1 // in units of 8 bytes
	tapMAC.put(advert[26:])
	binary.BigEndian.PutUint16(advert[2:], icmpv6Sum(out))
	return maxReply
}

// icmpv6Sum returns the checksum of the ICMPv6 message in the IPv6 packet
// (RFC 4443 §2.3) with its checksum field, or 0 if that is right.
func icmpv6Sum(packet []byte) uint16 {
	sum := uint32(len(packet)-ipv6Size) + protoICMPv6
	for b := packet[8:]; len(b) > 0; b = b[min(2, len(b)):] {
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		} else {
			sum += uint32(binary.BigEndian.Uint16(b))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
