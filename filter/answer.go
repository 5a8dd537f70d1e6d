package filter

import (
	"net/netip"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// judgeAnswer judges the packets that make sense only as an answer: ICMP
// errors, echo responses and TSMP. answered is false for all others.
func (f *Filter) judgeAnswer(p *packet.Parsed, now int64, jailed bool, peers Peers) (r Reason, answered bool) {
	switch {
	case p.IPProto == ipproto.TSMP:
		return f.judgeTSMP(p, now, jailed)
	case !p.IPProto.IsICMP():
		return ReasonNone, false
	case p.IsEchoResponse():
		id := echoKey(p.IPProto, p.Dst.Addr(), p.Src.Addr(), p.EchoID(), hostAsks).ID()
		if f.follow(&id, segment{byPeer: true}, now, jailed) == standsOpen {
			return ReasonNone, true
		}
		return ReasonNoFlow, true
	case p.IsError():
		if k, ok := quotedKey(p); ok && speaksFor(p, &k, peers) && f.isOpen(k, now, jailed) {
			return ReasonNone, true
		}
		return ReasonNoFlow, true
	}
	return ReasonNone, false
}

// speaksFor reports whether p, an ICMP error about the flow k, comes
// from behind the peer of that flow. Where no peers are known, it may come from
// any router on the way.
func speaksFor(p *packet.Parsed, k *flow.Key, peers Peers) bool {
	return peers == nil || peers.PeerOf(p.Src.Addr()) == peers.PeerOf(k.Peer().Addr())
}

// quotedKey returns the key of the flow whose packet the inbound ICMP error p
// quotes. The quote claims to be a packet of the host's, so p must be
// addressed to its sender.
func quotedKey(p *packet.Parsed) (k flow.Key, ok bool) {
	var q packet.Parsed
	if isObsolete(p) || !p.Quoted(&q) || q.Src.Addr() != p.Dst.Addr() {
		return flow.Key{}, false
	}
	if q.IsEchoResponse() {
		return echoKey(q.IPProto, q.Src.Addr(), q.Dst.Addr(), q.EchoID(), peerAsks), true
	}
	return outKey(&q)
}

// isObsolete reports whether the ICMP error p is one that no host may act on
// today: an ICMPv4 source quench (4, RFC 6633) or a redirect (5), which is for
// one link, and a tunnel is none.
func isObsolete(p *packet.Parsed) bool {
	typ, _ := p.ICMP()
	return p.IPVersion == 4 && (typ == 4 || typ == 5)
}

// judgeTSMP lets pings and pongs pass, and rejections of open flows. Others
// are for the rules to judge.
func (f *Filter) judgeTSMP(p *packet.Parsed, now int64, jailed bool) (r Reason, answered bool) {
	if isTSMPEcho(p) {
		return ReasonNone, true
	}
	rejected, ok := p.AsTSMPRejected()
	if !ok {
		return ReasonNone, false
	}
	if f.isOpen(rejectedKey(rejected), now, jailed) {
		return ReasonNone, true
	}
	return ReasonNoFlow, true
}

// isTSMPEcho reports whether p is a whole TSMP ping or pong: its type and
// eight bytes. Parsed.AsTSMPPing would allocate.
func isTSMPEcho(p *packet.Parsed) bool {
	_, isFragment := p.Fragment()
	m := p.Payload()
	return !isFragment && len(m) >= 9 && (m[0] == 'p' || m[0] == 'o')
}

// rejectedKey returns the key of the flow that an inbound rejection names,
// which the host is said to have begun. For a ping the port of Src, if it is
// any, is the identifier.
func rejectedKey(r packet.TSMPRejected) flow.Key {
	if r.Proto.IsICMP() {
		return echoKey(r.Proto, r.Src.Addr(), r.Dst.Addr(), r.Src.Port(), hostAsks)
	}
	return flow.MakeKey(r.Proto, portsOf(r.Proto, r.Src), portsOf(r.Proto, r.Dst))
}

// portsOf returns a without its port if proto has none.
func portsOf(proto ipproto.Proto, a netip.AddrPort) netip.AddrPort {
	if proto.HasPorts() {
		return a
	}
	return netip.AddrPortFrom(a.Addr(), 0)
}
