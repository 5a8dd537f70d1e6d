package filter

import (
	"net/netip"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// This file decides who initiated a flow that the state does not hold, from the
// packets that the host sends in it. The state may have lost a flow of the peer's,
// by eviction, by a timeout or with the program, while the host still replies.
// Taken for a flow of the host's, it would let the peer in whatever the rules say
// from then on.

// Peers tells whose an address is. It is asked while a packet is judged, by
// several goroutines at once, and must not block.
type Peers interface {
	// PeerOf returns the peer behind a.
	PeerOf(a netip.Addr) flow.PeerID
}

// peerID returns the peer behind a. With nil peers, a is a peer of its own.
func peerID(peers Peers, a netip.Addr) flow.PeerID {
	if peers == nil {
		return flow.AddrPeer(a)
	}
	return peers.PeerOf(a)
}

// origin is who initiated a flow, as far as can be told.
type origin uint8

const (
	originHost    origin = iota
	originUnknown        // the flow is picked up: it is open while the rules allow it
	originPeer           // the peer, and the rules allow it
	originRefused        // the peer, or nobody knows, and the rules do not allow it
)

// originOut returns who initiated the flow k, which the state does not hold, and
// in which the host sends s.
func (f *Filter) originOut(k *flow.Key, s segment, now int64, jailed bool) origin {
	peer := k.Peer().Addr()
	tcp := k.Proto() == ipproto.TCP
	if k.Proto().IsICMP() || tcp && s.isSYN() {
		return originHost // the packet says so
	}
	allowed := f.allows(*k)
	switch {
	case tcp && s.isSYNACK():
		// It accepts a connection of the peer's.
		if allowed {
			return originPeer
		}
		return originRefused
	case allowed && !jailed:
		return originUnknown
	case allowed && f.state.hasLostFlow(peer, now), f.state.mayHaveLostFlow(peer, now) && f.state.history.allowed(k, now):
		return originRefused
	case !tcp:
		return originHost
	case f.state.startedWithin(now, int64(f.limits.Pickup)):
		return originUnknown
	}
	return originRefused
}

// hasLostFlow reports whether the state evicted, expired or refused a flow of the
// peer's so short a time ago that the host may still reply in it.
func (s *State) hasLostFlow(peer netip.Addr, now int64) bool {
	return s.flows.LostAt(peer, now) != 0
}

// mayHaveLostFlow reports whether the host may still reply in a flow of the
// peer's that this state lost, or that was lost with the program before.
func (s *State) mayHaveLostFlow(peer netip.Addr, now int64) bool {
	return s.startedWithin(now, int64(replyTime)) || s.hasLostFlow(peer, now)
}

// traits returns those of a flow with this origin.
func (o origin) traits() traits {
	switch o {
	case originUnknown:
		return pickedUp
	case originPeer:
		return peerInitiated
	}
	return 0
}

// Answerable reports whether a reject may be sent for the inbound packet p, which
// was refused at now: whether p is of no flow that the host may have initiated,
// which a reject would end. id is the ID of flow.In(p).
func (f *Filter) Answerable(p *packet.Parsed, id *flow.ID, now int64) bool {
	if p.IPProto.IsICMP() {
		return true // rules refuse queries of the peer's only
	}
	c, st := f.peek(id.Key(), now, false)
	return st == ctNew || c.has(peerInitiated)
}
