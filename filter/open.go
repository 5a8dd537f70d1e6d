package filter

import (
	"tstun/flow"
	"tstun/ipproto"
)

// open adds the flow id, which s starts, to the state, with traits t. peer is
// whom it is charged to, if the peer may have initiated it.
func (f *Filter) open(id *flow.ID, s segment, t traits, peer flow.PeerID, now int64) {
	if s.isRST() {
		return // it ends what is not there
	}
	key := id.Key()
	c := flow.Claim{Class: classOf(key.Proto())}
	if t&(peerInitiated|pickedUp) != 0 {
		c.Peer = peer
	}
	begins, before := true, conn{}
	open := f.state.flows.UpsertID(id, c, now, func(e *flow.Entry[conn], fresh bool) flow.Action {
		switch {
		case fresh:
			e.Expires = now
			e.Value = conn{traits: t}
			f.update(e, s, now)
		case !f.replaces(&e.Value, s, t):
			if s.fromPeer && s.isSYN() {
				e.Value.traits |= peerSYN
			}
			begins = false
			return flow.Leave | flow.Changed
		default:
			before = e.Value
			f.reopen(e, s, t, now)
		}
		return flow.Touch | flow.Changed
	})
	if open && begins {
		f.note(id, peer, t, before, now)
	}
}

// replaces reports whether a flow with traits t that s starts takes the place of
// c. An accepted SYN of the peer's does not end a connection of the host's: only
// the host's reply can tell.
func (f *Filter) replaces(c *conn, s segment, t traits) bool {
	if c.phase.ended() || c.has(revoked|exempt) || f.isStale(c) || t&exempt != 0 {
		return true
	}
	return !s.fromPeer && s.isSYN()
}

// reopen replaces the flow of e by one with traits t that s starts. If s is a SYN
// of the peer's, the host may still keep the old connection. So until the host
// replies, the expiry time is not before the old one.
func (f *Filter) reopen(e *flow.Entry[conn], s segment, t traits, now int64) {
	e.Value = conn{gen: f.gen, traits: t}
	if s.fromPeer && e.Key().Proto() == ipproto.TCP {
		e.Value.phase = phaseUncertain
		e.Expires = max(e.Expires, now+int64(f.limits.TCPTransitory))
	} else {
		f.update(e, s, now)
	}
	setEvictionPriority(e) // update does so only where it changes the flow
}
