package filter

import (
	"net/netip"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// This file answers one question: which flow is a packet of? lookup.go answers
// the next one: what does the state say of that flow?

// The key of an ICMP query's flow has the identifier in place of the host's
// port. In place of the peer's port it has the type of the request, and which
// side sent it: both sides may use one identifier at once.
const (
	hostQueries = 1
	peerQueries = 2
)

func queryKey(proto ipproto.Proto, host, peer netip.Addr, q packet.Query, querier uint16) flow.Key {
	return flow.MakeKey(proto, netip.AddrPortFrom(host, q.ID), netip.AddrPortFrom(peer, uint16(q.Type)<<8|querier))
}

// isHostQuery reports whether k is the key of queries that the host sends. Peers
// can only reply to them.
func isHostQuery(k *flow.Key) bool { return k.Proto().IsICMP() && k.Peer().Port()&0xff == hostQueries }

// isTracked reports whether packets like p open a flow. Replies to ICMP queries,
// ICMP errors, TSMP, multicast and later fragments do not.
func isTracked(p *packet.Parsed) bool {
	switch {
	case p.IPProto.IsICMP():
		q, ok := p.Query()
		return ok && !q.Reply
	case p.IPProto == ipproto.TSMP, p.IPProto == ipproto.Fragment:
		return false
	}
	return !p.Dst.Addr().IsMulticast()
}

// isQueryReply reports whether p replies to an ICMP query.
func isQueryReply(p *packet.Parsed) bool {
	q, ok := p.Query()
	return ok && q.Reply
}

// inFlow returns the ID of the flow that the inbound packet p opens, continues
// or replies to, or nil if it has none. The ID is id, which is that of
// flow.In(p), but for ICMP: then it is written to query.
func inFlow(p *packet.Parsed, id, query *flow.ID) *flow.ID {
	switch {
	case p.IPProto.IsICMP():
	case isTracked(p):
		return id
	default:
		return nil
	}
	q, ok := p.Query()
	if !ok {
		return nil
	}
	querier := uint16(peerQueries)
	if q.Reply {
		querier = hostQueries
	}
	*query = queryKey(p.IPProto, p.Dst.Addr(), p.Src.Addr(), q, querier).ID()
	return query
}

// outFlow returns the ID of the flow that the outbound packet p opens or
// continues, or nil if it has none. The ID is id, which is that of flow.Out(p),
// but for ICMP: then it is written to query.
func outFlow(p *packet.Parsed, id, query *flow.ID) *flow.ID {
	switch {
	case !isTracked(p):
		return nil
	case !p.IPProto.IsICMP():
		return id
	}
	q, _ := p.Query()
	*query = queryKey(p.IPProto, p.Src.Addr(), p.Dst.Addr(), q, hostQueries).ID()
	return query
}

// inKey returns the key of the flow of the inbound packet p. ok is false, and k
// zero, if p has none.
func inKey(p *packet.Parsed) (k flow.Key, ok bool) {
	var id, query flow.ID
	id.SetIn(p)
	return keyOf(inFlow(p, &id, &query))
}

// outKey returns the key of the flow of the outbound packet p. ok is false, and
// k zero, if p has none.
func outKey(p *packet.Parsed) (k flow.Key, ok bool) {
	var id, query flow.ID
	id.SetOut(p)
	return keyOf(outFlow(p, &id, &query))
}

func keyOf(id *flow.ID) (k flow.Key, ok bool) {
	if id == nil {
		return flow.Key{}, false
	}
	return id.Key(), true
}

// quotedFlow returns the key of the flow whose packet the inbound ICMP error p
// quotes. The quote claims to be a packet of the host's, so p must be addressed
// to its sender.
func quotedFlow(p *packet.Parsed) (k flow.Key, ok bool) {
	var q packet.Parsed
	if isObsolete(p) || !p.Quoted(&q) || q.Src.Addr() != p.Dst.Addr() {
		return flow.Key{}, false
	}
	if reply, ok := q.Query(); ok && reply.Reply {
		return queryKey(q.IPProto, q.Src.Addr(), q.Dst.Addr(), reply, peerQueries), true
	}
	return outKey(&q)
}

// isObsolete reports whether the ICMP error p is one that no host may act on
// today: an ICMPv4 source quench (4, RFC 6633), or a redirect (5), which is for
// one link, and a tunnel is none.
func isObsolete(p *packet.Parsed) bool {
	typ, _ := p.ICMP()
	return p.IPVersion == 4 && (typ == 4 || typ == 5)
}

// rejectedFlow returns the key of the flow that an inbound rejection names. The
// host is said to have opened it. Of a ping, the port of Src is the identifier.
func rejectedFlow(r packet.TSMPRejected) flow.Key {
	return flowBetween(r.Proto, r.Src, r.Dst, hostQueries)
}

// flowBetween returns the key of the flow of proto between the two ends. Ports
// of protocols without ports do not count. Of a ping, the port of the end that
// sends the requests is the identifier.
func flowBetween(proto ipproto.Proto, host, peer netip.AddrPort, querier uint16) flow.Key {
	switch {
	case proto.HasPorts():
		return flow.MakeKey(proto, host, peer)
	case proto.IsICMP():
		q := packet.Query{Type: packet.EchoRequestType(proto), ID: host.Port()}
		if querier == peerQueries {
			q.ID = peer.Port()
		}
		return queryKey(proto, host.Addr(), peer.Addr(), q, querier)
	}
	return flow.MakeKey(proto, netip.AddrPortFrom(host.Addr(), 0), netip.AddrPortFrom(peer.Addr(), 0))
}

// SetQuery makes id, of an ICMP query or a reply to one, that of the query's flow, which
// has the identifier in place of the host's port. It leaves the ID of other packets.
// in says that p is inbound.
func SetQuery(id *flow.ID, p *packet.Parsed, in bool) {
	q, ok := p.Query()
	if !ok || id.IsZero() {
		return
	}
	querier := uint16(hostQueries)
	if in != q.Reply {
		querier = peerQueries
	}
	k := id.Key()
	*id = queryKey(p.IPProto, k.Host().Addr(), k.Peer().Addr(), q, querier).ID()
}

// WithoutQuery returns k as flow.In and flow.Out make it: without the identifier of an
// ICMP query.
func WithoutQuery(k flow.Key) flow.Key {
	if !k.Proto().IsICMP() {
		return k
	}
	return flow.MakeKey(k.Proto(), netip.AddrPortFrom(k.Host().Addr(), 0), netip.AddrPortFrom(k.Peer().Addr(), 0))
}
