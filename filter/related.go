package filter

import (
	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// judgeRelated judges the packets that make sense only in relation to a flow:
// ICMP errors, replies to ICMP queries, and TSMP. related is false for all
// others. id is the ID of p's flow, or nil.
func (f *Filter) judgeRelated(p *packet.Parsed, id *flow.ID, now int64, jailed bool, peers Peers) (r Reason, related bool) {
	switch {
	case p.IPProto == ipproto.TSMP:
		return f.judgeTSMP(p, now, jailed)
	case !p.IPProto.IsICMP():
		return ReasonNone, false
	case isQueryReply(p):
		if st, _ := f.lookup(id, segment{fromPeer: true}, now, jailed, nil); st == ctOpen {
			return ReasonNone, true
		}
		return ReasonNoFlow, true
	case p.IsError():
		if k, ok := quotedFlow(p); ok && isFromFlowPeer(p, &k, peers) && f.isOpen(k, now, jailed) {
			return ReasonNone, true
		}
		return ReasonNoFlow, true
	}
	return ReasonNone, false
}

// isFromFlowPeer reports whether p, an ICMP error about the flow k, comes from
// the peer of that flow, or from a router behind it. With nil peers it may come
// from any router.
func isFromFlowPeer(p *packet.Parsed, k *flow.Key, peers Peers) bool {
	return peers == nil || peers.PeerOf(p.Src.Addr()) == peers.PeerOf(k.Peer().Addr())
}

// judgeTSMP lets pings and pongs pass, and rejections of open flows. related is
// false for all other TSMP, which is for the rules to judge.
func (f *Filter) judgeTSMP(p *packet.Parsed, now int64, jailed bool) (r Reason, related bool) {
	if p.IsTSMPPing() || p.IsTSMPPong() {
		return ReasonNone, true
	}
	rejected, ok := p.AsTSMPRejected()
	if !ok {
		return ReasonNone, false
	}
	if f.isOpen(rejectedFlow(rejected), now, jailed) {
		return ReasonNone, true
	}
	return ReasonNoFlow, true
}
