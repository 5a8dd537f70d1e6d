package packet

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"tstun/ipproto"
)

// Types of TSMP messages, their first byte.
const (
	tsmpPing     = 'p'
	tsmpPong     = 'o'
	tsmpRejected = '!'
)

// Lengths of TSMP messages in bytes.
const (
	tsmpMin         = 7 // of any
	tsmpPingLen     = 9
	tsmpPongMin     = 9 // without the port
	tsmpPongLen     = 11
	tsmpRejectedMin = 7 // without the flags
	tsmpRejectedLen = 8
)

const tsmpMaybeBroken = 1 // flag of a rejected message

// TSMPPing asks the other end of the tunnel for a TSMPPongReply. It is a
// [Header] without payload: Generate(ping, nil) is the packet.
type TSMPPing struct {
	// IPHeader is an IPHeader value; its Proto does not matter.
	IPHeader Header
	// Data comes back in the reply.
	Data [8]byte
}

// TSMPPongReply answers a TSMPPing. It is a [Header] without payload:
// Generate(pong, nil) is the packet.
type TSMPPongReply struct {
	// IPHeader is an IPHeader value; its Proto does not matter.
	IPHeader Header
	// Data is the ping's.
	Data [8]byte
	// PeerAPIPort is the TCP port of the sender's peer API, 0 if it has none.
	PeerAPIPort uint16
}

// TSMPRejected tells the host that began a flow that its peer refuses it. It
// is a [Header] without payload: Generate(rejected, nil) is the packet, which
// travels from Dst to Src.
type TSMPRejected struct {
	// Src and Dst are those of the refused flow: Src is its initiator.
	Src, Dst netip.AddrPort
	// Proto is the refused flow's protocol.
	Proto ipproto.Proto
	// Reason is why the peer refuses the flow.
	Reason TSMPRejectReason
	// MaybeBroken says that the refusal may be a fault rather than a policy.
	MaybeBroken bool
}

// TSMPRejectReason is why a flow was refused.
type TSMPRejectReason byte

const (
	RejectedByRules      TSMPRejectReason = 'A' // no rule allows it
	RejectedShieldsUp    TSMPRejectReason = 'S' // all inbound flows are refused
	RejectedIPForwarding TSMPRejectReason = 'F' // the peer does not forward
	RejectedHostFirewall TSMPRejectReason = 'W' // the peer's own firewall
)

// String returns the reason in kebab case, or "reason-0xNN" for one that has
// no name.
func (r TSMPRejectReason) String() string {
	switch r {
	case RejectedByRules:
		return "rules"
	case RejectedShieldsUp:
		return "shields-up"
	case RejectedIPForwarding:
		return "ip-forwarding"
	case RejectedHostFirewall:
		return "host-firewall"
	}
	const digits = "0123456789abcdef"
	return "reason-0x" + string([]byte{digits[r>>4], digits[r&15]})
}

// tsmp returns the TSMP message of type typ in p, at least min bytes, or nil.
func (p *Parsed) tsmp(typ byte, min int) []byte {
	if p.proto != ipproto.TSMP || p.kind != 0 || p.problem != ProblemNone {
		return nil
	}
	m := p.Payload()
	if len(m) < max(min, tsmpMin) || m[0] != typ {
		return nil
	}
	return m
}

// ipHeader returns p's IP header in the form that Generate takes.
func (p *Parsed) ipHeader() IPHeader {
	h := IPHeader{Src: p.Src.Addr(), Dst: p.Dst.Addr(), Proto: p.proto}
	if p.IPVersion == 4 {
		h.ID, h.TTL = binary.BigEndian.Uint16(p.b[4:]), p.b[8]
	} else {
		h.TTL = p.b[7]
	}
	return h
}

// IsTSMPPing reports whether p is a whole TSMP ping.
func (p *Parsed) IsTSMPPing() bool { return p.tsmp(tsmpPing, tsmpPingLen) != nil }

// IsTSMPPong reports whether p is a whole TSMP pong.
func (p *Parsed) IsTSMPPong() bool { return p.tsmp(tsmpPong, tsmpPongMin) != nil }

// AsTSMPPing returns the TSMP ping in p. It returns false if p is not a whole one.
func (p *Parsed) AsTSMPPing() (TSMPPing, bool) {
	m := p.tsmp(tsmpPing, tsmpPingLen)
	if m == nil {
		return TSMPPing{}, false
	}
	return TSMPPing{IPHeader: p.ipHeader(), Data: [8]byte(m[1:])}, true
}

// AsTSMPPong returns the TSMP pong in p. It returns false if p is not a whole one.
func (p *Parsed) AsTSMPPong() (TSMPPongReply, bool) {
	m := p.tsmp(tsmpPong, tsmpPongMin)
	if m == nil {
		return TSMPPongReply{}, false
	}
	pong := TSMPPongReply{IPHeader: p.ipHeader(), Data: [8]byte(m[1:])}
	if len(m) >= tsmpPongLen {
		pong.PeerAPIPort = binary.BigEndian.Uint16(m[9:])
	}
	return pong, true
}

// AsTSMPRejected returns the TSMP rejected message in p. It returns false if p is not a
// whole one. The sender of p may write any protocol and ports; the flow's addresses are
// those of p.
func (p *Parsed) AsTSMPRejected() (TSMPRejected, bool) {
	m := p.tsmp(tsmpRejected, tsmpRejectedMin)
	if m == nil {
		return TSMPRejected{}, false
	}
	return TSMPRejected{
		Src:         netip.AddrPortFrom(p.Dst.Addr(), binary.BigEndian.Uint16(m[3:])),
		Dst:         netip.AddrPortFrom(p.Src.Addr(), binary.BigEndian.Uint16(m[5:])),
		Proto:       ipproto.Proto(m[1]),
		Reason:      TSMPRejectReason(m[2]),
		MaybeBroken: len(m) >= tsmpRejectedLen && m[7]&tsmpMaybeBroken != 0,
	}, true
}

// Pong returns the reply to t. peerAPIPort is the TCP port of the peer API, or 0 if there
// is none.
func (t TSMPPing) Pong(peerAPIPort uint16) TSMPPongReply {
	pong := TSMPPongReply{Data: t.Data, PeerAPIPort: peerAPIPort}
	if ip, ok := t.IPHeader.(IPHeader); ok {
		pong.IPHeader = ip.Response()
	}
	return pong
}

var (
	errTSMPHeader  = errors.New("packet: IPHeader of a TSMP message is not an IPHeader value")
	errTSMPPayload = errors.New("packet: a TSMP message has no payload")
)

// headerLen returns h.Len(), or 0 if h is nil.
func headerLen(h Header) int {
	if h == nil {
		return 0
	}
	return h.Len()
}

// marshalTSMP writes h and message into buf, which has the length of both.
func marshalTSMP(h Header, message, buf []byte) error {
	ip, ok := h.(IPHeader)
	if !ok {
		return errTSMPHeader
	}
	switch n := ip.Len() + len(message); {
	case len(buf) < n:
		return errShort
	case len(buf) > n:
		return errTSMPPayload
	}
	copy(buf[ip.Len():], message)
	ip.Proto = ipproto.TSMP
	return ip.Marshal(buf)
}

// Len returns the length of the whole packet.
func (t TSMPPing) Len() int { return headerLen(t.IPHeader) + tsmpPingLen }

// Marshal implements [Header].
func (t TSMPPing) Marshal(buf []byte) error {
	var m [tsmpPingLen]byte
	m[0] = tsmpPing
	copy(m[1:], t.Data[:])
	return marshalTSMP(t.IPHeader, m[:], buf)
}

// Len returns the length of the whole packet.
func (t TSMPPongReply) Len() int { return headerLen(t.IPHeader) + tsmpPongLen }

// Marshal implements [Header].
func (t TSMPPongReply) Marshal(buf []byte) error {
	var m [tsmpPongLen]byte
	m[0] = tsmpPong
	copy(m[1:], t.Data[:])
	binary.BigEndian.PutUint16(m[9:], t.PeerAPIPort)
	return marshalTSMP(t.IPHeader, m[:], buf)
}

func (t TSMPRejected) ip() IPHeader {
	return IPHeader{Src: t.Dst.Addr(), Dst: t.Src.Addr(), Proto: ipproto.TSMP}
}

// Len returns the length of the whole packet.
func (t TSMPRejected) Len() int { return t.ip().Len() + tsmpRejectedLen }

// Marshal implements [Header].
func (t TSMPRejected) Marshal(buf []byte) error {
	m := [tsmpRejectedLen]byte{tsmpRejected, byte(t.Proto), byte(t.Reason)}
	binary.BigEndian.PutUint16(m[3:], t.Src.Port())
	binary.BigEndian.PutUint16(m[5:], t.Dst.Port())
	if t.MaybeBroken {
		m[7] = tsmpMaybeBroken
	}
	return marshalTSMP(t.ip(), m[:], buf)
}
