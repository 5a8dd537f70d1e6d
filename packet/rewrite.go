package packet

import (
	"encoding/binary"
	"net/netip"

	"tstun/ipproto"
)

// Transport protocols without a name in ipproto whose checksums cover the
// pseudo-header.
const (
	protoDCCP    ipproto.Proto = 33  // RFC 4340 §5.1
	protoUDPLite ipproto.Proto = 136 // RFC 3828 §3.1
)

// side is one of a packet's two addresses.
type side uint8

const (
	source side = iota
	destination
)

// SetSrcAddr replaces p's source address, in p and in its buffer, and updates
// every checksum that covers it: that of the IPv4 header and those of TCP,
// UDP and ICMPv6, also in first fragments. A checksum that was wrong stays
// wrong, and a UDP checksum of 0 stays 0. If p is an ICMP error, the packet
// it quotes was sent to the old address: that becomes the new one there, too.
//
// It changes nothing and returns false if a is not of the family of the old
// address or p has a problem. A zone in a is ignored.
func (p *Parsed) SetSrcAddr(a netip.Addr) bool { return p.setAddr(source, a.WithZone("")) }

// SetDstAddr replaces p's destination address, in p and in its buffer, and updates every
// checksum that covers it, under the rules of SetSrcAddr. If p is an ICMP error, the
// packet it quotes was sent from the old address: that becomes the new one there, too.
func (p *Parsed) SetDstAddr(a netip.Addr) bool { return p.setAddr(destination, a.WithZone("")) }

// SetQuotedDstAddr replaces the destination address of the packet that the ICMP error p
// quotes, and updates every checksum that covers it, that of p among them. It is for
// errors that come from another address than the quoted packet was sent to; SetSrcAddr
// does the same for the others. It changes nothing and returns false if the quoted
// destination is not old, if a is of another family, or if p is no ICMP error.
func (p *Parsed) SetQuotedDstAddr(old, a netip.Addr) bool {
	if p.problem != ProblemNone || !p.IsError() || !a.IsValid() || a.Is4() != (p.IPVersion == 4) {
		return false
	}
	return p.setQuotedAddr(destination, old.AsSlice(), a.WithZone(""))
}

func (p *Parsed) setAddr(s side, a netip.Addr) bool {
	if p.problem != ProblemNone || p.IPVersion == 0 || !a.IsValid() || a.Is4() != (p.IPVersion == 4) {
		return false
	}
	old := p.addrBytes(s)
	if p.IsError() {
		// The quote is a packet that went the other way.
		p.setQuotedAddr(1-s, old, a)
	}
	before, after := addrBytesSum(old), addrSum(a)
	if p.IPVersion == 4 {
		b := a.As4()
		copy(old, b[:])
		updateChecksum(p.b[10:], before, after)
	} else {
		b := a.As16()
		copy(old, b[:])
	}
	if field := p.pseudoChecksum(); field != nil {
		p.updateTransportChecksum(field, before, after)
	}
	if s == source {
		p.Src = netip.AddrPortFrom(a, p.Src.Port())
	} else {
		p.Dst = netip.AddrPortFrom(a, p.Dst.Port())
	}
	return true
}

// addrBytes returns the bytes of an address in p's buffer.
func (p *Parsed) addrBytes(s side) []byte {
	if p.IPVersion == 4 {
		return p.b[12+4*int(s):][:4]
	}
	return p.b[8+16*int(s):][:16]
}

// setQuotedAddr replaces the address on side s of the packet that p quotes,
// if it is old, and updates p's ICMP checksum, which covers the quote.
func (p *Parsed) setQuotedAddr(s side, old []byte, a netip.Addr) bool {
	var q Parsed
	if !p.quote(&q) || string(q.addrBytes(s)) != string(old) {
		return false
	}
	// All of q that changes lies in front of q's payload, or in the first
	// bytes of what has no header that Decode knows.
	changed := q.b[:min(len(q.b), max(int(q.payOff), int(q.transOff)+udpLen))]
	before := Checksum(changed, 0)
	q.setAddr(s, a)
	updateChecksum(p.b[p.transOff+2:], before, Checksum(changed, 0))
	return true
}

// pseudoChecksum returns the checksum field of p's transport header, or nil if there is
// none in the buffer, or if it does not cover the pseudo-header.
func (p *Parsed) pseudoChecksum() []byte {
	if p.transOff == 0 {
		return nil
	}
	at := 0
	switch p.proto {
	case ipproto.TCP:
		at = 16
	case ipproto.UDP, protoUDPLite, protoDCCP:
		at = 6
	case ipproto.ICMPv6:
		if p.IPVersion != 6 {
			return nil
		}
		at = 2
	default:
		return nil
	}
	t := p.b[p.transOff:]
	if len(t) < at+2 {
		return nil // the quote is cut, or the packet is too short for its protocol
	}
	return t[at : at+2]
}

// updateTransportChecksum replaces, in p's transport checksum, the part that was summed to
// before by one that sums to after. In UDP, 0 stands for no checksum (RFC 768, RFC 6935):
// it stays 0, and a sum of 0 is written as 0xffff.
func (p *Parsed) updateTransportChecksum(field []byte, before, after uint16) {
	if p.proto != ipproto.UDP {
		updateChecksum(field, before, after)
		return
	}
	if binary.BigEndian.Uint16(field) == 0 {
		return
	}
	updateChecksum(field, before, after)
	if binary.BigEndian.Uint16(field) == 0 {
		binary.BigEndian.PutUint16(field, 0xffff)
	}
}
