package packet

import (
	"encoding/binary"
	"net/netip"

	"tstun/ipproto"
)

// EchoReply returns a newly allocated reply to the ICMP echo request p. It
// returns false if p is anything else, a fragment, or not between two single
// hosts.
func (p *Parsed) EchoReply() ([]byte, bool) {
	if !p.IsEchoRequest() || p.kind != 0 || !p.BetweenHosts() {
		return nil, false
	}
	typ := uint8(icmp4EchoReply)
	if p.IPVersion == 6 {
		typ = icmp6EchoReply
	}
	h := ICMPHeader{
		Src:  p.Dst.Addr(),
		Dst:  p.Src.Addr(),
		Type: typ,
		Rest: [4]byte(p.icmp()[4:]),
	}
	return generated(h, p.Payload())
}

// TCPReset returns a newly allocated segment that resets the connection of p, as a host
// without that connection sends it: RFC 9293 §3.10.7.1.
// It returns false if p is not TCP, is a reset itself, is a fragment, or is
// not between two single hosts.
func (p *Parsed) TCPReset() ([]byte, bool) {
	if p.proto != ipproto.TCP || p.transOff == 0 || p.kind != 0 || p.TCPFlags&TCPRst != 0 || !p.BetweenHosts() {
		return nil, false
	}
	h := TCPHeader{Src: p.Dst, Dst: p.Src, Flags: TCPRst}
	t := p.Transport()
	if p.TCPFlags&TCPAck != 0 {
		h.Seq = binary.BigEndian.Uint32(t[8:])
		return generated(h, nil)
	}
	h.Flags |= TCPAck
	h.Ack = binary.BigEndian.Uint32(t[4:]) + p.segmentLen()
	return generated(h, nil)
}

// segmentLen returns how many sequence numbers p occupies: RFC 9293 §3.4.
func (p *Parsed) segmentLen() uint32 {
	n := uint32(len(p.Payload()))
	if p.TCPFlags&TCPSyn != 0 {
		n++
	}
	if p.TCPFlags&TCPFin != 0 {
		n++
	}
	return n
}

// The greatest lengths of ICMP errors. RFC 1812 §4.3.2.3, RFC 4443 §2.4(c).
const (
	maxError4 = 576
	maxError6 = 1280
)

// AdminProhibited returns a newly allocated ICMP error that tells p's sender
// that policy forbids p: destination unreachable, with code 13 in IPv4
// (RFC 1812 §5.2.7.1) and code 1 in IPv6 (RFC 4443 §3.1). It quotes as much
// of p as an ICMP error may. It returns false where no error may be sent
// (RFC 1122 §3.2.2, RFC 4443 §2.4(e)): p has a problem, is an ICMP error or
// a redirect, is a later fragment, or is not between two single hosts.
func (p *Parsed) AdminProhibited() ([]byte, bool) {
	if p.problem != ProblemNone || p.kind&^kindFirst != 0 || p.isAnyError() || !p.BetweenHosts() {
		return nil, false
	}
	h := ICMPHeader{Src: p.Dst.Addr(), Dst: p.Src.Addr(), Type: icmp4Unreachable, Code: 13}
	limit := maxError4
	if p.IPVersion == 6 {
		h.Type, h.Code, limit = icmp6Unreachable, 1, maxError6
	}
	return generated(h, p.b[:min(len(p.b), limit-h.Len())])
}

// isAnyError reports whether p is an ICMP error or a redirect, also of an ICMPv6 type that
// is not assigned yet.
func (p *Parsed) isAnyError() bool {
	m := p.icmp()
	return p.IsError() || m != nil && p.IPVersion == 6 && m[0] < icmp6FirstInfo
}

// BetweenHosts reports whether each of p's addresses can be that of a single host, and a
// reply reaches the source: no multicast, broadcast, class E, unspecified or loopback
// address. RFC 1122 §3.2.1.3.
func (p *Parsed) BetweenHosts() bool {
	return p.IPVersion != 0 && isHost(p.Src.Addr()) && isHost(p.Dst.Addr()) && !p.Src.Addr().Unmap().IsLoopback()
}

func isHost(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		return false
	}
	return !a.Is4() || a.As4()[0] < 240 // class E and broadcast, RFC 1112 §4
}

func generated(h Header, payload []byte) ([]byte, bool) {
	b := Generate(h, payload)
	return b, b != nil
}
