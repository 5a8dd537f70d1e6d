package tstun

import (
	"tstun/filter"
	"tstun/internal/inject"
	"tstun/internal/pipeline"
)

// Reject says what a peer hears of a packet that the main filter refuses for
// policy's sake: no rule, shields up, jail, or a flow that was revoked.
type Reject uint8

const (
	// RejectNone lets the peer hear nothing: it runs into a timeout.
	RejectNone = Reject(pipeline.RejectNone)
	// RejectTSMP sends a TSMP rejection, with the reason, for a TCP SYN, a UDP
	// packet or an echo request; of the latter, Src's port is the identifier. The
	// peer's Wrapper shows it to PreFilterIn. What a host that does not speak TSMP
	// says of it ends at this Wrapper.
	RejectTSMP = Reject(pipeline.RejectTSMP)
	// RejectReset answers like a host with a firewall: a TCP SYN with a
	// reset, all other protocols with ICMP "administratively prohibited".
	RejectReset = Reject(pipeline.RejectReset)
	// RejectResetAll is RejectReset, and answers all other TCP segments that
	// belong to no open flow with a reset too. That may end a connection of
	// the host's that this Wrapper does not know, such as one that is older.
	RejectResetAll = Reject(pipeline.RejectResetAll)
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
	w.update(func(c *config) { c.Reject = pipeline.Reject(r) })
}

// reply makes the reply to the packet in hand, which was dropped for the given
// reason or is a ping, if it may go.
func (w *Wrapper) reply(b *batch, why filter.Reason) {
	peer := b.Config.Peers.PeerOf(b.Packet.Src.Addr())
	if !b.MayReply() || !w.replies.Allow(peer, b.Now) {
		return
	}
	if data := b.MakeReply(why); len(data) > 0 {
		b.replies = append(b.replies, inject.Packet{Data: data, Peer: peer})
	}
}

// sendReplies sends what reply has made. The call has been entered into the counters: who
// hears a refusal finds it counted.
func (w *Wrapper) sendReplies(b *batch) {
	for _, p := range b.replies {
		// A full queue has counted it, and nobody waits for it.
		_ = w.inject(p)
	}
}
