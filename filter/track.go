package filter

import (
	"net/netip"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// The flows of ICMP queries have the identifier as the host's port, and in
// place of the peer's port the type of the request and who asks: both sides may
// use one identifier at once.
const (
	hostAsks = 1
	peerAsks = 2
)

func queryKey(proto ipproto.Proto, host, peer netip.Addr, q packet.Query, asker uint16) flow.Key {
	return flow.MakeKey(proto, netip.AddrPortFrom(host, q.ID), netip.AddrPortFrom(peer, uint16(q.Type)<<8|asker))
}

// echoKey is queryKey for pings.
func echoKey(proto ipproto.Proto, host, peer netip.Addr, id uint16, asker uint16) flow.Key {
	return queryKey(proto, host, peer, packet.Query{Type: packet.EchoRequestType(proto), ID: id}, asker)
}

// asksPeer reports whether k is of queries of the host's, which peers can only
// reply to.
func asksPeer(k *flow.Key) bool { return k.Proto().IsICMP() && k.Peer().Port()&0xff == hostAsks }

// tracked reports whether packets like p have a flow of their own, and are not
// judged one by one.
func tracked(p *packet.Parsed) bool {
	if p.IPProto.IsICMP() {
		q, ok := p.Query()
		return ok && !q.Reply
	}
	return p.IPProto != ipproto.TSMP && !p.Dst.Addr().IsMulticast()
}

// outKey returns the key of the flow that the outbound packet p opens or goes
// on with. ok is false, and k zero, for packets that are judged one by one.
func outKey(p *packet.Parsed) (k flow.Key, ok bool) {
	switch {
	case !tracked(p):
		return flow.Key{}, false
	case p.IPProto.IsICMP():
		q, _ := p.Query()
		return queryKey(p.IPProto, p.Src.Addr(), p.Dst.Addr(), q, hostAsks), true
	}
	return flow.Out(p), true
}

// inKey returns the key of the flow that the inbound packet p opens, goes on
// with or answers. ok is false, and k zero, for packets that are judged one by
// one.
func inKey(p *packet.Parsed) (k flow.Key, ok bool) {
	asker := uint16(peerAsks)
	switch {
	case isReply(p):
		asker = hostAsks
	case !tracked(p):
		return flow.Key{}, false
	case !p.IPProto.IsICMP():
		return flow.In(p), true
	}
	q, _ := p.Query()
	return queryKey(p.IPProto, p.Dst.Addr(), p.Src.Addr(), q, asker), true
}

// standing is how an inbound packet stands to the state.
type standing uint8

const (
	standsAlone   standing = iota // no flow, or it begins a new one
	standsOpen                    // of an open flow, which has been updated
	standsStale                   // of a flow that other rules let in
	standsRevoked                 // of a revoked flow
	standsJailed                  // of a flow that its jailed peer opened
)

// goOn is follow for most packets: those of a flow that goes on under the
// filter that admitted it. It reports false, and has changed nothing, for all
// others, also for segments that begin something. While the stamp holds, it
// has nothing to say or do about further segments of the same kind at now.
func (f *Filter) goOn(id *flow.ID, s segment, now int64) (stamp flow.Stamp, ok bool) {
	stamp, _ = f.state.flows.UpdateID(id, now, func(e *flow.Entry[conn]) flow.Action {
		c := &e.Value
		if c.gen != f.gen || c.traits&(admitted|revoked) != admitted {
			return flow.Leave
		}
		ok = true
		return f.pass(e, s, now)
	})
	return stamp, ok
}

// follow finds how the inbound segment s stands to the flow id, and updates
// the flow if it is open.
func (f *Filter) follow(id *flow.ID, s segment, now int64, jailed bool) (st standing) {
	f.state.flows.UpdateID(id, now, func(e *flow.Entry[conn]) flow.Action {
		st = f.standingOf(&e.Value, s, jailed)
		switch st {
		case standsOpen:
			return f.pass(e, s, now)
		case standsRevoked:
			e.Expires = now + f.limits.idleRevoked(e.Key().Proto(), e.Value.phase)
			return flow.Touch
		}
		return flow.Leave
	})
	return st
}

func (f *Filter) standingOf(c *conn, s segment, jailed bool) standing {
	switch {
	case s.opens() && f.beginsAnew(c, s):
		return standsAlone
	case jailed && c.mayBePeers():
		return standsJailed
	case f.stale(c):
		return standsStale
	case c.has(revoked):
		return standsRevoked
	}
	return standsOpen
}

// beginsAnew reports whether the SYN s begins a new flow in the place of c,
// rather than being a retransmission or half of a simultaneous open: that is
// a SYN to answer a SYN that nothing else answered, and its retransmissions.
func (f *Filter) beginsAnew(c *conn, s segment) bool {
	switch {
	case c.phase.over() || c.has(revoked|adopted) || f.stale(c):
		return true
	case c.has(byPeer) == s.byPeer:
		return c.has(exempt) // only while the port is, not by what came before
	case s.byPeer && c.has(crossed):
		return false
	}
	return c.phase != phaseNew
}

// stale reports whether the rules of f have still to be asked about c.
func (f *Filter) stale(c *conn) bool {
	return c.judged() && c.gen != f.gen && (!f.keep || c.has(revoked) || c.gen < f.keepFrom)
}

// pass updates an open flow with a packet that goes through. An inbound one
// must be admissible.
func (f *Filter) pass(e *flow.Entry[conn], s segment, now int64) flow.Action {
	c := &e.Value
	proto := e.Key().Proto()
	before := *c
	c.judgedBy(f.gen)
	if s.byPeer {
		c.traits |= admitted
	}
	crosses := s.byPeer && s.opens() && !c.has(byPeer)
	switch {
	case s.resets(), s.byPeer && !s.opens():
		c.traits &^= crossed
	case crosses && c.phase == phaseNew:
		c.traits |= crossed
	case !s.byPeer && s.opens():
		c.isn = s.isn
	}
	c.phase = c.advance(proto, s)
	if !crosses {
		e.Expires = f.limits.expiry(proto, s, before.phase, c.phase, e.Expires, now)
	}
	if *c == before {
		return flow.Touch
	}
	place(e)
	return flow.Touch | flow.Changed
}

// rejudge asks the rules about the stale flow id, to which s belongs, and
// reports whether it may go on. The rules are read outside of the lock.
func (f *Filter) rejudge(id *flow.ID, s segment, now int64) bool {
	allowed := f.allows(id.Key())
	f.state.flows.UpdateID(id, now, func(e *flow.Entry[conn]) flow.Action {
		c := &e.Value
		if !c.judged() {
			return flow.Leave // somebody else's new flow
		}
		c.judgedBy(f.gen)
		if allowed {
			c.traits &^= revoked
			f.pass(e, s, now)
		} else {
			c.traits |= revoked
			e.Expires = now + f.limits.idleRevoked(e.Key().Proto(), c.phase)
		}
		place(e)
		return flow.Touch | flow.Changed
	})
	return allowed
}

// allows reports whether the rules let the peer of k open it.
func (f *Filter) allows(k flow.Key) bool {
	host := k.Host()
	return f.judgeNew(k.Proto(), k.Peer().Addr(), host.Addr(), host.Port()) == ReasonNone
}

// open makes a flow that s begins, between the host and peer, with the given
// traits.
func (f *Filter) open(id *flow.ID, s segment, t traits, peer flow.PeerID, now int64) {
	if s.resets() {
		return // it ends something that is not there
	}
	key := id.Key()
	c := flow.Claim{Class: classOf(key.Proto())}
	if t&(byPeer|adopted) != 0 {
		c.Peer = peer
	}
	f.state.flows.UpsertID(id, c, now, func(e *flow.Entry[conn], fresh bool) flow.Action {
		switch {
		case fresh:
			e.Expires = now
			e.Value = conn{traits: t}
			f.pass(e, s, now)
		case !f.replaces(&e.Value, s, t):
			if s.byPeer && s.opens() {
				e.Value.traits |= contested
			}
			return flow.Leave | flow.Changed
		default:
			f.reopen(e, s, t, now)
		}
		return flow.Touch | flow.Changed
	})
}

// reopen puts a flow that s begins in the place of that of e. If s is a SYN of
// the peer's, the host may still know better: until it answers, the flow has
// the time of the old one at least.
func (f *Filter) reopen(e *flow.Entry[conn], s segment, t traits, now int64) {
	e.Value = conn{gen: f.gen, traits: t}
	if s.byPeer && e.Key().Proto() == ipproto.TCP {
		e.Value.phase = phaseDoubt
		e.Expires = max(e.Expires, now+int64(f.limits.TCPTransitory))
	} else {
		f.pass(e, s, now)
	}
	place(e) // also if pass finds nothing new
}

// replaces reports whether a flow with traits t that s begins takes the place
// of c. An accepted SYN of the peer does not end a connection of the host's:
// the host answers for that.
func (f *Filter) replaces(c *conn, s segment, t traits) bool {
	if c.phase.over() || c.has(revoked|exempt) || f.stale(c) || t&exempt != 0 {
		return true
	}
	return !s.byPeer && s.opens()
}
