package tundev

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// hear takes a message of ARP or neighbour discovery on an Ethernet with several
// stations: it learns, sends what waited, and replies.
func (t *tap) hear(frame []byte) {
	now := time.Now()
	if a, m := claimOf(frame); m != 0 && m != tapMAC && !m.multicast() {
		if packet := t.stations.claim(a, m, now); packet != nil {
			// The device counts what it refuses, and the sender sends again.
			_, _ = t.writeCopies([][]byte{packet}, 0)
		}
	}
	asker, believes := macAt(frame[6:]), macAt(frame) == tapMAC
	if target := targetOf(frame); target.IsValid() && t.stations.isBeyond(question{asker, target}, believes, now) {
		t.reply(frame)
	}
}

// writeShared writes to an Ethernet with several stations: a packet for an address
// that no station is known to have waits for it, and is counted as written.
func (t *tap) writeShared(bufs [][]byte, offset int) (n int, err error) {
	now := time.Now()
	for len(bufs) > 0 {
		known := t.resolved(bufs, offset, now)
		m, err := t.write(bufs[:known], offset)
		if n += m; err != nil {
			return n, withoutList(err)
		}
		if bufs = bufs[known:]; len(bufs) > 0 {
			t.lookFor(bufs[0][offset:], now)
			bufs = bufs[1:]
			n++
		}
	}
	return n, nil
}

// resolved returns how many packets at the front go to known stations or to groups.
// It learns that their senders are beyond the TAP.
func (t *tap) resolved(bufs [][]byte, offset int, now time.Time) int {
	for i, b := range bufs {
		src, dst := addrsOf(b[offset:])
		t.stations.sent(src, tapMAC, now)
		if destination(b[offset:], 0) == 0 && t.stations.of(dst, now) == 0 {
			return i
		}
	}
	return len(bufs)
}

// stationFor returns the MAC address of the station that a packet is for.
func (t *tap) stationFor(packet []byte) mac {
	_, dst := addrsOf(packet)
	if m := t.stations.of(dst, time.Now()); m != 0 {
		return m
	}
	return broadcastMAC // a group's, or it was known a moment ago
}

// lookFor asks who has the packet's destination.
func (t *tap) lookFor(packet []byte, now time.Time) {
	src, dst := addrsOf(packet)
	if !dst.IsValid() || !t.stations.hold(dst, packet, now) {
		return
	}
	var frame [tapHeadroom + maxReply]byte
	n := ask(frame[tapHeadroom:], src, dst)
	_, _ = t.Device.Write([][]byte{frame[:tapHeadroom+n]}, tapHeadroom) // the next packet asks again
}

// addrsOf returns the addresses of an IP packet, or invalid ones if it is too short.
func addrsOf(p []byte) (src, dst netip.Addr) {
	switch {
	case p[0]>>4 == 4 && len(p) >= 20:
		return netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	case p[0]>>4 == 6 && len(p) >= ipv6Size:
		return netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	}
	return src, dst
}

// claimOf returns which address a message of ARP or neighbour discovery says is
// whose, or 0 if it does not say.
func claimOf(frame []byte) (netip.Addr, mac) {
	b := frame[etherSize:]
	switch {
	case isARP(frame):
		return netip.AddrFrom4([4]byte(b[14:18])), macAt(b[8:])
	case isDiscovery(frame, typeSolicit):
		src, _ := addrsOf(b)
		return src, macAt(frame[6:])
	case isDiscovery(frame, typeAdvert):
		return netip.AddrFrom16([16]byte(b[48:64])), macAt(frame[6:])
	}
	return netip.Addr{}, 0
}

// targetOf returns which address a message asks for, or an invalid one.
func targetOf(frame []byte) netip.Addr {
	b := frame[etherSize:]
	switch {
	case isARP(frame):
		return netip.AddrFrom4([4]byte(b[24:28]))
	case isDiscovery(frame, typeSolicit):
		return netip.AddrFrom16([16]byte(b[48:64]))
	}
	return netip.Addr{}
}

// isARP reports whether the frame is a request or a reply for IPv4.
func isARP(frame []byte) bool {
	const etherAndIPv4 = "\x00\x01\x08\x00\x06\x04"
	return binary.BigEndian.Uint16(frame[12:]) == etherARP && len(frame) >= etherSize+arpSize &&
		string(frame[etherSize:][:6]) == etherAndIPv4
}

// isDiscovery reports whether the frame is a valid neighbour solicitation or
// advertisement (RFC 4861 §7.1).
func isDiscovery(frame []byte, kind byte) bool {
	ip := frame[etherSize:]
	if binary.BigEndian.Uint16(frame[12:]) != etherIPv6 || len(ip) < ipv6Size+solicitSize || ip[0]>>4 != 6 ||
		ip[6] != protoICMPv6 || ip[ipv6Size] != kind || ip[7] != hopLimit || ip[ipv6Size+1] != 0 {
		return false
	}
	size := int(binary.BigEndian.Uint16(ip[4:]))
	return size >= solicitSize && size <= len(ip)-ipv6Size && icmpv6Sum(ip[:ipv6Size+size]) == 0
}

// ask writes the question who has dst, for a packet from src, and returns its
// length. frame has room for maxReply bytes. In ARP the sender is src, which is
// beyond the TAP, as a router without an address of its own asks; a request from
// no address would look like another station's claim to dst (RFC 5227 §2.1.1).
func ask(frame []byte, src, dst netip.Addr) int {
	if dst.Is4() {
		return askARP(frame, src, dst)
	}
	return solicitFor(frame, dst)
}

func askARP(frame []byte, src, dst netip.Addr) int {
	putEther(frame, broadcastMAC, tapMAC, etherARP)
	a := frame[etherSize:][:arpSize]
	copy(a, "\x00\x01\x08\x00\x06\x04\x00\x01")
	tapMAC.put(a[8:])
	copy(a[14:], src.AsSlice())
	clear(a[18:24])
	copy(a[24:], dst.AsSlice())
	return etherSize + arpSize
}

// tapLinkLocal is the address from which the adaptor asks: RFC 4291 §2.5.6 and
// appendix A, of tapMAC.
var tapLinkLocal = [16]byte{0xfe, 0x80, 8: 0x00, 9: 0x74, 10: 0x73, 11: 0xff, 12: 0xfe, 13: 0x74, 14: 0x75, 15: 0x6e}

// solicitFor writes a neighbour solicitation to the solicited-node group of dst
// (RFC 4861 §4.3, RFC 4291 §2.7.1).
func solicitFor(frame []byte, dst netip.Addr) int {
	clear(frame[:maxReply])
	target := dst.As16()
	group := [16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]}
	putEther(frame, 0x33_33_00_00_00_00|mac(binary.BigEndian.Uint32(group[12:])), tapMAC, etherIPv6)
	out := frame[etherSize:maxReply]
	out[0] = 6 << 4
	binary.BigEndian.PutUint16(out[4:], advertSize)
	out[6], out[7] = protoICMPv6, hopLimit
	copy(out[8:], tapLinkLocal[:])
	copy(out[24:], group[:])
	message := out[ipv6Size:]
	message[0] = typeSolicit
	copy(message[8:], target[:])
	message[24], message[25] = optionSourceAddr, 1 // in units of 8 bytes
	tapMAC.put(message[26:])
	binary.BigEndian.PutUint16(message[2:], icmpv6Sum(out))
	return maxReply
}
