package packet

import (
	"encoding/binary"
	"net/netip"

	"tstun/ipproto"
)

// Decode parses b, one IP packet, into p and sets every field of p. Of a packet that it
// cannot decode in full, p.Problem() says why. Decode does not allocate, and verifies no
// checksum. p keeps b, which remains the caller's.
func (p *Parsed) Decode(b []byte) { p.decode(b, 0) }

func (p *Parsed) decode(b []byte, k kind) {
	if len(b) >= ip4Len && b[0]>>4 == 4 {
		p.decode4(b, k)
		return
	}
	if len(b) >= ip6Len && b[0]>>4 == 6 {
		p.decode6(b, k)
		return
	}
	p.malformed(b)
}

// reset clears p, except the addresses, which decoding always writes.
func (p *Parsed) reset(b []byte, version uint8, k kind) {
	p.IPVersion = version
	p.IPProto = ipproto.Unknown
	p.TCPFlags = 0
	p.problem = ProblemNone
	p.kind = k
	p.proto = ipproto.Unknown
	p.transOff, p.payOff, p.fragStart = 0, 0, 0
	p.b = b
}

func (p *Parsed) malformed(b []byte) {
	p.reset(b, 0, 0)
	p.problem = ProblemMalformed
	p.Src, p.Dst = netip.AddrPort{}, netip.AddrPort{}
}

// reserved reports whether proto is a number that no packet may carry: 0 is IPv6's
// hop-by-hop header, IANA reserves 255, and both have another meaning in ipproto.
func reserved(proto ipproto.Proto) bool { return proto-1 >= 254 }

func (p *Parsed) decode4(b []byte, k kind) {
	head := int(b[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if k == kindQuote {
		total = quotedLen(total, 0, len(b))
	}
	proto := ipproto.Proto(b[9])
	if head < ip4Len || total < head || total > len(b) || reserved(proto) {
		p.malformed(b)
		return
	}
	b = b[:total]
	p.reset(b, 4, k)
	p.proto = proto
	var ports uint32
	frag := binary.BigEndian.Uint16(b[6:]) & 0x3fff
	switch {
	case head > ip4Len && !optionsOK(b[ip4Len:head]):
		p.problem = ProblemOptions
	case frag == 0:
		ports = p.transport(b, head)
	default:
		if !p.fragment(head, head, int(frag&0x1fff)*8, frag&0x2000 != 0) {
			p.malformed(b)
			return
		}
		ports = p.fragmentTransport(b, head)
	}
	p.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:16])), uint16(ports>>16))
	p.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:20])), uint16(ports))
}

func (p *Parsed) decode6(b []byte, k kind) {
	total := ip6Len + int(binary.BigEndian.Uint16(b[4:]))
	if k == kindQuote {
		total = quotedLen(total, ip6Len, len(b))
	}
	// Payload length 0 with a hop-by-hop header is a jumbogram, RFC 2675 §3.
	if total > len(b) || total == ip6Len && b[6] == extHopByHop {
		p.malformed(b)
		return
	}
	b = b[:total]
	p.reset(b, 6, k)
	p.proto = ipproto.Proto(b[6])
	off := ip6Len
	if isExtension(b[6]) {
		off = p.walk(b)
	}
	if p.problem == ProblemMalformed || reserved(p.proto) && p.problem == ProblemNone {
		p.malformed(b)
		return
	}
	var ports uint32
	if p.problem == ProblemNone {
		if p.kind&(kindFirst|kindLater) == 0 {
			ports = p.transport(b, off)
		} else {
			ports = p.fragmentTransport(b, off)
		}
	}
	p.Src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), uint16(ports>>16))
	p.Dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[24:40])), uint16(ports))
}

// transport decodes the header of p.proto at b[off:] and returns the source
// port in the upper half and the destination port in the lower one.
func (p *Parsed) transport(b []byte, off int) (ports uint32) {
	t := b[off:]
	size := 0
	switch p.proto {
	case ipproto.UDP:
		if len(t) < udpLen || !p.udpLenOK(t) {
			return p.short()
		}
		ports, size = binary.BigEndian.Uint32(t), udpLen
	case ipproto.TCP:
		if p.kind&kindQuote != 0 {
			return p.quotedTCP(t, off)
		}
		if len(t) < tcpLen {
			return p.short()
		}
		size = int(t[12]>>4) * 4
		if size < tcpLen || size > len(t) {
			return p.short()
		}
		p.TCPFlags = TCPFlag(t[13])
		ports = binary.BigEndian.Uint32(t)
	case ipproto.SCTP:
		size = sctpLen
		if p.kind&kindQuote != 0 {
			size = min(size, max(len(t), quoteMin))
		}
		if len(t) < size {
			return p.short()
		}
		ports = binary.BigEndian.Uint32(t)
	case ipproto.ICMPv4, ipproto.ICMPv6:
		if p.isICMP() {
			if size = icmpLen; len(t) < size {
				return p.short()
			}
		}
	}
	p.IPProto = p.proto
	p.transOff = uint16(off)
	p.payOff = uint16(off + size)
	return ports
}

// udpLenOK reports whether the length in the UDP header t is possible. Fragments and
// quotes may be shorter.
func (p *Parsed) udpLenOK(t []byte) bool {
	n := int(binary.BigEndian.Uint16(t[4:]))
	if p.kind&kindQuote != 0 && n == 0 {
		return true // a jumbogram's, RFC 2675 §4
	}
	return n >= udpLen && (n <= len(t) || p.kind != 0)
}

// short marks p as a packet that ends within its transport header. It returns no
// ports.
func (p *Parsed) short() (ports uint32) {
	if p.kind&kindFirst != 0 {
		p.IPProto = ipproto.Fragment
		p.problem = ProblemTinyFragment
		return 0
	}
	p.problem = ProblemTruncated
	return 0
}
