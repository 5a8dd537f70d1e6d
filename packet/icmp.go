package packet

import (
	"encoding/binary"

	"tstun/ipproto"
)

// ICMPv4 message types. RFC 792.
const (
	icmp4EchoReply    = 0
	icmp4Unreachable  = 3
	icmp4SourceQuench = 4
	icmp4Redirect     = 5
	icmp4Echo         = 8
	icmp4TimeExceeded = 11
	icmp4ParamProblem = 12
)

// ICMPv6 message types. RFC 4443 §2.1, RFC 4861 §4.5.
const (
	icmp6Unreachable  = 1
	icmp6ParamProblem = 4
	icmp6FirstInfo    = 128 // all below are errors
	icmp6Echo         = 128
	icmp6EchoReply    = 129
	icmp6Redirect     = 137
)

// isICMP reports whether p's protocol is the ICMP of its IP version. The
// other version's is a protocol like any other, that no host understands.
func (p *Parsed) isICMP() bool {
	return p.proto == ipproto.ICMPv4 && p.IPVersion == 4 || p.proto == ipproto.ICMPv6 && p.IPVersion == 6
}

// icmp returns the ICMP message, of at least icmpLen bytes, or nil.
func (p *Parsed) icmp() []byte {
	if p.transOff == 0 || !p.isICMP() {
		return nil
	}
	return p.b[p.transOff:]
}

// ICMP returns the type and code of an ICMP message, whole or a first
// fragment, and 0, 0 for anything else.
func (p *Parsed) ICMP() (typ, code uint8) {
	m := p.icmp()
	if m == nil {
		return 0, 0
	}
	return m[0], m[1]
}

// EchoID returns the identifier of an echo request or response, and 0 for
// anything else.
func (p *Parsed) EchoID() uint16 {
	if !p.IsEchoRequest() && !p.IsEchoResponse() {
		return 0
	}
	return binary.BigEndian.Uint16(p.icmp()[4:])
}

// IsEchoRequest reports whether p is an ICMP echo request, whole or a first
// fragment.
func (p *Parsed) IsEchoRequest() bool { return p.isICMPType(icmp4Echo, icmp6Echo) }

// IsEchoResponse reports whether p is an ICMP echo reply, whole or a first
// fragment.
func (p *Parsed) IsEchoResponse() bool { return p.isICMPType(icmp4EchoReply, icmp6EchoReply) }

func (p *Parsed) isICMPType(type4, type6 uint8) bool {
	m := p.icmp()
	if m == nil {
		return false
	}
	if p.IPVersion == 4 {
		return m[0] == type4
	}
	return m[0] == type6
}

// IsError reports whether p is an ICMP message about another packet: an
// error or a redirect.
func (p *Parsed) IsError() bool {
	m := p.icmp()
	if m == nil {
		return false
	}
	if p.IPVersion == 4 {
		switch m[0] {
		case icmp4Unreachable, icmp4SourceQuench, icmp4Redirect, icmp4TimeExceeded, icmp4ParamProblem:
			return true
		}
		return false
	}
	return m[0] >= icmp6Unreachable && m[0] <= icmp6ParamProblem || m[0] == icmp6Redirect
}
