package pipeline

import (
	"net/netip"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// Reject says what a peer hears of a packet that the main filter refuses. Its
// values are those of tstun.Reject, which describes them.
type Reject uint8

// The values of Reject.
const (
	RejectNone Reject = iota
	RejectTSMP
	RejectReset
	RejectResetAll
)

// Reply is a kind of packet that may be sent back for one of a peer's.
type Reply uint8

// The kinds of replies. The zero value is none.
const (
	NoReply Reply = iota
	PongReply
	TSMPReply
	ResetReply
	ICMPReply
)

// reply returns what the sender of the refused p gets back.
func (r Reject) reply(p *packet.Parsed, why filter.Reason) Reply {
	switch why {
	case filter.ReasonNoRule, filter.ReasonShieldsUp, filter.ReasonJailed, filter.ReasonRevoked:
	default:
		return NoReply // not a matter of policy
	}
	isTCP := p.IPProto == ipproto.TCP
	switch {
	case r == RejectTSMP && (!isTCP || p.IsTCPSyn()):
		return TSMPReply
	case r == RejectReset && isTCP && p.IsTCPSyn(), r == RejectResetAll && isTCP:
		return ResetReply
	case r == RejectReset && !isTCP, r == RejectResetAll:
		return ICMPReply
	}
	return NoReply
}

// MayReply reports whether f.Reply does no harm to what the host began.
func (f *Frame) MayReply() bool {
	switch f.Reply {
	case PongReply:
		return true
	case TSMPReply:
		if p := &f.Packet; p.IPProto != ipproto.TCP && p.IPProto != ipproto.UDP && !p.IsEchoRequest() {
			return false // a rejection could not name its flow
		}
	case ResetReply:
		if f.Config.Reject == RejectResetAll && !f.Packet.IsTCPSyn() {
			return true // as the program wants it
		}
	}
	return f.Config.Filter.Answerable(&f.Packet, &f.ID, f.Now)
}

// MakeReply returns the reply f.Reply to the packet, which was dropped for the
// given reason or is a ping, or nil if that is none to be replied to, as the
// RFCs have it.
func (f *Frame) MakeReply(why filter.Reason) []byte {
	p := &f.Packet
	switch f.Reply {
	case PongReply:
		ping, _ := p.AsTSMPPing()
		port, _ := f.peerAPIPort()
		return packet.Generate(ping.Pong(port), nil)
	case TSMPReply:
		m := packet.TSMPRejected{Src: p.Src, Dst: p.Dst, Proto: p.IPProto, Reason: packet.RejectedByRules}
		if why == filter.ReasonShieldsUp {
			m.Reason = packet.RejectedShieldsUp
		}
		if p.IsEchoRequest() { // by which the filter of who sent it knows the flow
			m.Src = netip.AddrPortFrom(p.Src.Addr(), p.EchoID())
		}
		return packet.Generate(m, nil)
	case ResetReply:
		data, _ := p.TCPReset()
		return data
	case ICMPReply:
		data, _ := p.AdminProhibited()
		return data
	}
	return nil
}
