package packet

import (
	"encoding/binary"

	"tstun/ipproto"
)

// ICMPv4 message types. RFC 792, RFC 950.
const (
	icmp4EchoReply      = 0
	icmp4Unreachable    = 3
	icmp4SourceQuench   = 4
	icmp4Redirect       = 5
	icmp4Echo           = 8
	icmp4TimeExceeded   = 11
	icmp4ParamProblem   = 12
	icmp4Timestamp      = 13
	icmp4TimestampReply = 14
	icmp4Info           = 15
	icmp4InfoReply      = 16
	icmp4Mask           = 17
	icmp4MaskReply      = 18
)

// ICMPv6 message types. RFC 4443 §2.1, RFC 4861 §4.5, RFC 4620 §4.
const (
	icmp6Unreachable  = 1
	icmp6ParamProblem = 4
	icmp6FirstInfo    = 128 // all below are errors
	icmp6Echo         = 128
	icmp6EchoReply    = 129
	icmp6Redirect     = 137
	icmp6Node         = 139
	icmp6NodeReply    = 140
)

// isICMP reports whether p's protocol is the ICMP of its IP version. Hosts do not
// process that of the other version.
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

// ICMP returns the type and code of an ICMP message, whole or a first fragment, or 0, 0
// if p is none.
func (p *Parsed) ICMP() (typ, code uint8) {
	m := p.icmp()
	if m == nil {
		return 0, 0
	}
	return m[0], m[1]
}

// EchoID returns the identifier of an echo request or reply, or 0 if p is neither.
func (p *Parsed) EchoID() uint16 {
	if !p.IsEchoRequest() && !p.IsEchoResponse() {
		return 0
	}
	return binary.BigEndian.Uint16(p.icmp()[4:])
}

// Query is an ICMP query message, or the reply to one (RFC 1122 §3.2.2).
type Query struct {
	// Type is the type of the request, also of a reply.
	Type uint8
	// ID is the same in a request and its reply: the identifier, or in node
	// information messages the kind of information.
	ID uint16
	// Reply: the message is a reply.
	Reply bool
}

// Query returns the query or reply that p is, whole or as a first fragment: an echo; in
// ICMPv4 a timestamp, information or address mask message; in ICMPv6 a node information
// message. ok is false if p is none of these.
func (p *Parsed) Query() (q Query, ok bool) {
	m := p.icmp()
	if m == nil {
		return Query{}, false
	}
	if p.IPVersion == 4 {
		q.Type, q.Reply, ok = query4(m[0])
	} else {
		q.Type, q.Reply, ok = query6(m[0])
	}
	if ok {
		q.ID = binary.BigEndian.Uint16(m[4:])
	}
	return q, ok
}

// query4 returns the type of the request that an ICMPv4 message of type typ is, or that
// it replies to.
func query4(typ uint8) (request uint8, reply, ok bool) {
	switch typ {
	case icmp4Echo, icmp4Timestamp, icmp4Info, icmp4Mask:
		return typ, false, true
	case icmp4EchoReply:
		return icmp4Echo, true, true
	case icmp4TimestampReply, icmp4InfoReply, icmp4MaskReply:
		return typ - 1, true, true
	}
	return 0, false, false
}

// query6 returns the type of the request that an ICMPv6 message of type typ is, or that
// it replies to.
func query6(typ uint8) (request uint8, reply, ok bool) {
	switch typ {
	case icmp6Echo, icmp6Node:
		return typ, false, true
	case icmp6EchoReply, icmp6NodeReply:
		return typ - 1, true, true
	}
	return 0, false, false
}

// EchoRequestType returns the type of an echo request of proto, which is ICMPv4 or
// ICMPv6.
func EchoRequestType(proto ipproto.Proto) uint8 {
	if proto == ipproto.ICMPv6 {
		return icmp6Echo
	}
	return icmp4Echo
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
		return isError4(m[0])
	}
	return m[0] >= icmp6Unreachable && m[0] <= icmp6ParamProblem || m[0] == icmp6Redirect
}

func isError4(typ uint8) bool {
	switch typ {
	case icmp4Unreachable, icmp4SourceQuench, icmp4Redirect, icmp4TimeExceeded, icmp4ParamProblem:
		return true
	}
	return false
}
