package packet

import (
	"encoding/binary"
	"net/netip"

	"tstun/ipproto"
)

// Parsed is a decoded IP packet. Its zero value is a packet that was not
// decoded: IPVersion 0. It is meant to be reused: Decode sets every field.
//
// The exported fields are for reading; change addresses with SetSrcAddr and
// SetDstAddr. A Parsed refers to the buffer given to Decode and is valid as
// long as that buffer is. It must not be used concurrently with Decode,
// SetSrcAddr or SetDstAddr.
type Parsed struct {
	// IPVersion is 4 or 6, or 0 if the packet is malformed.
	IPVersion uint8
	// IPProto is the transport protocol: ipproto.Fragment for fragments
	// without a whole transport header, and ipproto.Unknown if there is a
	// problem other than ProblemTinyFragment. See Proto.
	IPProto ipproto.Proto
	// Src and Dst are the addresses of the IP header and, for TCP, UDP and
	// SCTP, the ports; all other packets have port 0. Valid if IPVersion is
	// not 0. An IPv4-mapped IPv6 address in an IPv6 packet stays one.
	Src, Dst netip.AddrPort
	// TCPFlags are the control bits if IPProto is ipproto.TCP, else 0.
	TCPFlags TCPFlag

	problem Problem
	kind    kind
	proto   ipproto.Proto // protocol after the IP header and its extension headers

	transOff  uint16 // of the transport header; 0: no whole one is present
	payOff    uint16 // of the payload; 0: none
	fragStart uint16 // of the fragment's data if kind has kindFirst or kindLater

	b []byte // the packet, cut to its total length
}

// kind says which part of a datagram a Parsed is.
type kind uint8

const (
	kindFirst kind = 1 << iota // fragment at offset 0, more follow
	kindLater                  // fragment at another offset
	kindQuote                  // quoted in an ICMP error, perhaps cut short
)

// MaxLen is the length in bytes of the longest IPv4 packet (RFC 791 §3.1). It is also
// the length of the longest payload that an IPv6 header gives (RFC 8200 §3), and of the
// longest payload of a datagram in IPv6 fragments (RFC 8200 §4.5). Jumbograms, which are
// longer, are malformed to this package.
const MaxLen = 65535

// Lengths of headers without options.
const (
	ip4Len  = 20 // RFC 791 §3.1
	ip6Len  = 40 // RFC 8200 §3
	tcpLen  = 20 // RFC 9293 §3.1
	udpLen  = 8  // RFC 768
	sctpLen = 12 // RFC 9260 §3.1
	icmpLen = 8  // RFC 792, RFC 4443 §2.1: type, code, checksum, four bytes by type
)

// Problem returns why the packet could not be decoded in full, or ProblemNone.
func (p *Parsed) Problem() Problem { return p.problem }

// Proto returns the protocol number in the IP header, or in the last IPv6 extension
// header. Unlike IPProto it is also known for later fragments, truncated packets and
// ProblemOptions. It is ipproto.Unknown for ProblemMalformed and
// ProblemExtensionHeaders.
//
// Of a later IPv6 fragment it means nothing: its sender may write any number there, and
// it is an extension header's if the first fragment has one behind the fragment header
// (RFC 8200 §4.5).
func (p *Parsed) Proto() ipproto.Proto { return p.proto }

// Buffer returns the packet, without bytes that followed it in the buffer given to
// Decode. Of a malformed packet it returns that buffer. The memory belongs to the caller
// of Decode.
func (p *Parsed) Buffer() []byte { return p.b }

// Transport returns the transport header and its payload, to the length that UDP gives,
// and to the packet's end for all other protocols. It returns nil if the packet has no
// whole transport header, as later fragments. The memory belongs to the caller of
// Decode.
func (p *Parsed) Transport() []byte {
	if p.transOff == 0 {
		return nil
	}
	return p.b[p.transOff:p.end()]
}

// Payload returns the bytes after the transport header; for protocols without ports,
// those after the IP headers; for ICMP, those after the eight bytes that every ICMP
// message begins with; for a later fragment, the fragment's data. It returns nil for a
// packet with a problem. The memory belongs to the caller of Decode.
func (p *Parsed) Payload() []byte {
	if p.payOff == 0 {
		return nil
	}
	return p.b[p.payOff:p.end()]
}

// end returns the offset of the end of the transport's data. Only UDP has a length of its
// own.
func (p *Parsed) end() int {
	if p.proto == ipproto.UDP && p.kind == 0 {
		return int(p.transOff) + int(binary.BigEndian.Uint16(p.b[p.transOff+4:]))
	}
	return len(p.b)
}

// IsTCPSyn reports whether p is a TCP segment that opens a connection: SYN
// set, neither ACK nor RST set.
func (p *Parsed) IsTCPSyn() bool { return p.TCPFlags&(TCPSynAck|TCPRst) == TCPSyn }

// Addrs returns the source and destination addresses as numbers in network
// byte order, IPv4 addresses mapped to IPv6 (RFC 4291 §2.5.5.2), or zeros if IPVersion
// is 0. It is quicker than reading Src and Dst.
func (p *Parsed) Addrs() (srcHi, srcLo, dstHi, dstLo uint64) {
	be := binary.BigEndian
	switch p.IPVersion {
	case 4:
		const mapped = 0xffff << 32
		b := p.b[12:ip4Len]
		return 0, mapped | uint64(be.Uint32(b)), 0, mapped | uint64(be.Uint32(b[4:]))
	case 6:
		b := p.b[8:ip6Len]
		return be.Uint64(b), be.Uint64(b[8:]), be.Uint64(b[16:]), be.Uint64(b[24:])
	}
	return 0, 0, 0, 0
}
