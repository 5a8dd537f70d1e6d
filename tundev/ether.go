package tundev

import "encoding/binary"

const (
	etherSize = 14 // IEEE 802.3 header without a tag

	etherIPv4 = 0x0800 // IEEE 802 numbers, IANA
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

// mac is a MAC address in the lower 48 bits, its first byte the highest.
type mac uint64

const (
	// tapMAC is the address of everything beyond the TAP: "tstun" behind a
	// first byte that says locally administered (IEEE 802 §8.4).
	tapMAC mac = 0x02_74_73_74_75_6e

	broadcastMAC mac = 0xff_ff_ff_ff_ff_ff
)

func macAt(b []byte) mac {
	return mac(binary.BigEndian.Uint16(b))<<32 | mac(binary.BigEndian.Uint32(b[2:]))
}

func (m mac) put(b []byte) {
	binary.BigEndian.PutUint16(b, uint16(m>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(m))
}

// multicast reports whether m is a group's address or the broadcast address.
func (m mac) multicast() bool { return m>>40&1 != 0 }

func putEther(b []byte, dst, src mac, kind uint16) {
	dst.put(b)
	src.put(b[6:])
	binary.BigEndian.PutUint16(b[12:], kind)
}

// etherType returns the EtherType of a packet that begins with the byte first, or
// 0 if it is not IP.
func etherType(first byte) uint16 {
	switch first >> 4 {
	case 4:
		return etherIPv4
	case 6:
		return etherIPv6
	}
	return 0
}

// holdsIP reports whether the EtherType of the frame is that of the IP packet in
// it.
func holdsIP(frame []byte) bool {
	kind := binary.BigEndian.Uint16(frame[12:])
	return len(frame) > etherSize && kind == etherType(frame[etherSize])
}

// destination returns the MAC address for an IP packet: that of the group for
// multicast (RFC 1112 §6.4, RFC 2464 §7), or host if it is not multicast.
func destination(packet []byte, host mac) mac {
	switch {
	case packet[0]>>4 == 4 && len(packet) >= 20:
		dst := binary.BigEndian.Uint32(packet[16:])
		if dst>>28 == 0xe {
			return 0x01_00_5e_00_00_00 | mac(dst&0x7fffff)
		}
		if dst == 0xffffffff {
			return broadcastMAC
		}
	case packet[0]>>4 == 6 && len(packet) >= 40 && packet[24] == 0xff:
		return 0x33_33_00_00_00_00 | mac(binary.BigEndian.Uint32(packet[36:]))
	}
	return host
}
