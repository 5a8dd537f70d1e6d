package tstun

import (
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// Reject says what a peer hears of a packet that the main filter refuses for
// policy's sake: no rule, shields up, jail, or a flow that was revoked.
type Reject uint8

const (
	// RejectNone lets the peer hear nothing: it runs into a timeout.
	RejectNone Reject = iota
	// RejectTSMP sends a TSMP rejection, with the reason, for a TCP SYN or a
	// UDP packet. The peer's Wrapper shows it to PreFilterIn.
	RejectTSMP
	// RejectReset answers like a host with a firewall: a TCP SYN with a
	// reset, all other protocols with ICMP "administratively prohibited".
	RejectReset
	// RejectResetAll is RejectReset, and answers all other TCP segments that
	// belong to no open flow with a reset too. That may end a connection of
	// the host's that this Wrapper does not know, such as one that is older.
	RejectResetAll
)

// SetReject sets how refusals are answered from the next batch on. Nothing is
// answered that belongs to a flow that the host may have begun, such as a SYN
// that crosses the host's own: the answer would end it.
//
// A peer gets at most about 1,000 answers a second, and all peers together
// 2,000, those to TSMP pings among them; a peer that provokes many leaves room
// for others. They go through the injection queue, of which they fill at most
// half; those beyond it are left out and counted as queue-full.
func (w *Wrapper) SetReject(r Reject) {
	w.update(func(c *config) { c.reject = r })
}

// reply is a packet that the Wrapper may send back for one of a peer's.
type reply uint8

const (
	replyNone reply = iota
	replyPong
	replyTSMP
	replyReset
	replyICMP
)

// reply returns what the sender of the refused p gets back.
func (r Reject) reply(p *packet.Parsed, why filter.Reason) reply {
	switch why {
	case filter.ReasonNoRule, filter.ReasonShieldsUp, filter.ReasonJailed, filter.ReasonRevoked:
	default:
		return replyNone // not a matter of policy
	}
	isTCP := p.IPProto == ipproto.TCP
	switch {
	case r == RejectTSMP && (p.IsTCPSyn() || p.IPProto == ipproto.UDP):
		return replyTSMP
	case r == RejectReset && isTCP && p.IsTCPSyn(), r == RejectResetAll && isTCP:
		return replyReset
	case r == RejectReset && !isTCP, r == RejectResetAll:
		return replyICMP
	}
	return replyNone
}

// answer sends the reply to the packet in hand, which was refused for the
// given reason or is a ping. The packet is made only if it may go.
func (w *Wrapper) answer(b *batch, why filter.Reason) {
	peer := b.cfg.peers.PeerOf(b.p.Src.Addr())
	if !b.mayAnswer() || !w.answers.allow(peer, b.now) {
		return
	}
	if data := b.makeReply(why); len(data) > 0 {
		// A full queue has counted it, and nobody waits for it.
		_ = w.inject(injection{data: data, peer: peer})
	}
}

// mayAnswer reports whether a reply does no harm to what the host began.
func (b *batch) mayAnswer() bool {
	switch b.reply {
	case replyPong:
		return true
	case replyReset:
		if b.cfg.reject == RejectResetAll && !b.p.IsTCPSyn() {
			return true // as the program wants it
		}
	}
	return b.cfg.filter.Answerable(&b.p, &b.id, b.now)
}

// makeReply returns the reply to the packet in hand, or nil if that is none to
// be answered, as the RFCs have it.
func (b *batch) makeReply(why filter.Reason) []byte {
	p := &b.p
	switch b.reply {
	case replyPong:
		ping, _ := p.AsTSMPPing()
		port, _ := b.peerAPIPort(p)
		return packet.Generate(ping.Pong(port), nil)
	case replyTSMP:
		reason := packet.RejectedByRules
		if why == filter.ReasonShieldsUp {
			reason = packet.RejectedShieldsUp
		}
		return packet.Generate(packet.TSMPRejected{Src: p.Src, Dst: p.Dst, Proto: p.IPProto, Reason: reason}, nil)
	case replyReset:
		data, _ := p.TCPReset()
		return data
	case replyICMP:
		data, _ := p.AdminProhibited()
		return data
	}
	return nil
}
