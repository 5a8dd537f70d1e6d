package packet

import (
	"encoding/binary"
	"net/netip"

	"tstun/ipproto"
)

// UDPHeader is an IP header and a UDP header.
type UDPHeader struct {
	Src, Dst netip.AddrPort
	ID       uint16 // see IPHeader
	TTL      uint8  // see IPHeader
}

func (h UDPHeader) ip() IPHeader {
	return IPHeader{Src: h.Src.Addr(), Dst: h.Dst.Addr(), Proto: ipproto.UDP, ID: h.ID, TTL: h.TTL}
}

// Len returns 28 for IPv4, 48 for IPv6.
func (h UDPHeader) Len() int { return h.ip().Len() + udpLen }

// Marshal implements [Header]. The checksum is always set.
func (h UDPHeader) Marshal(buf []byte) error {
	ip := h.ip()
	if len(buf) < h.Len() {
		return errShort
	}
	t := buf[ip.Len():]
	binary.BigEndian.PutUint16(t, h.Src.Port())
	binary.BigEndian.PutUint16(t[2:], h.Dst.Port())
	binary.BigEndian.PutUint16(t[4:], uint16(len(t)))
	return ip.marshalTransport(buf, 6, true)
}

// TCPHeader is an IP header and a TCP header without options.
type TCPHeader struct {
	Src, Dst netip.AddrPort
	Seq, Ack uint32
	Flags    TCPFlag
	Window   uint16 // as on the wire, unscaled
	ID       uint16 // see IPHeader
	TTL      uint8  // see IPHeader
}

func (h TCPHeader) ip() IPHeader {
	return IPHeader{Src: h.Src.Addr(), Dst: h.Dst.Addr(), Proto: ipproto.TCP, ID: h.ID, TTL: h.TTL}
}

// Len returns 40 for IPv4, 60 for IPv6.
func (h TCPHeader) Len() int { return h.ip().Len() + tcpLen }

// Marshal implements [Header].
func (h TCPHeader) Marshal(buf []byte) error {
	ip := h.ip()
	if len(buf) < h.Len() {
		return errShort
	}
	t := buf[ip.Len():]
	binary.BigEndian.PutUint16(t, h.Src.Port())
	binary.BigEndian.PutUint16(t[2:], h.Dst.Port())
	binary.BigEndian.PutUint32(t[4:], h.Seq)
	binary.BigEndian.PutUint32(t[8:], h.Ack)
	t[12], t[13] = tcpLen/4<<4, uint8(h.Flags)
	binary.BigEndian.PutUint16(t[14:], h.Window)
	binary.BigEndian.PutUint16(t[18:], 0) // urgent pointer
	return ip.marshalTransport(buf, 16, true)
}

// precedence6 is "internetwork control" in the type of service of RFC 791 §3.1,
// and the class selector CS6 of RFC 2474 §4.2.2.
const precedence6 = 6 << 5

// isPreferredError reports whether an ICMPv4 message of that type is an error with
// precedence 6: any but a source quench, which has the precedence of the packet that it
// is about (RFC 1812 §4.3.2.5). RFC 4443 has no such rule.
func isPreferredError(typ uint8) bool {
	return isError4(typ) && typ != icmp4SourceQuench
}

// ICMPHeader is an IP header and the eight bytes that every ICMP message
// begins with. The addresses' family says which ICMP it is.
type ICMPHeader struct {
	Src, Dst   netip.Addr
	Type, Code uint8
	Rest       [4]byte // by type: identifier and sequence number, next-hop MTU, …
	ID         uint16  // see IPHeader
	TTL        uint8   // see IPHeader
}

func (h ICMPHeader) ip() IPHeader {
	proto := ipproto.ICMPv6
	if h.Src.Is4() {
		proto = ipproto.ICMPv4
	}
	return IPHeader{Src: h.Src, Dst: h.Dst, Proto: proto, ID: h.ID, TTL: h.TTL}
}

// Len returns 28 for IPv4, 48 for IPv6.
func (h ICMPHeader) Len() int { return h.ip().Len() + icmpLen }

// Marshal implements [Header]. The IPv4 header of an error has precedence 6,
// "internetwork control" (RFC 1812 §4.3.2.5).
func (h ICMPHeader) Marshal(buf []byte) error {
	ip := h.ip()
	if ip.Proto == ipproto.ICMPv4 && isPreferredError(h.Type) {
		ip.tos = precedence6
	}
	if len(buf) < h.Len() {
		return errShort
	}
	t := buf[ip.Len():]
	t[0], t[1] = h.Type, h.Code
	copy(t[4:], h.Rest[:])
	return ip.marshalTransport(buf, 2, ip.Proto == ipproto.ICMPv6)
}
