package filter

import (
	"tstun/flow"
	"tstun/packet"
)

// This file answers one question: what does the state say of a packet's flow?
// Each look-up of a packet that passes also updates the flow.

// ctState is what the state says of a packet's flow.
type ctState uint8

const (
	ctNew     ctState = iota // there is no flow, or the packet starts a new one
	ctOpen                   // the flow is open
	ctStale                  // the flow is open, if the rules in force allow it: see rejudge
	ctRevoked                // the rules in force do not allow the flow
	ctJailed                 // the peer, which is jailed, may have initiated the flow
)

// refresh updates the flow id with the inbound segment s, if this filter has
// accepted the flow's packets before. It is the short way through lookup for
// most packets. For all others it reports false and changes nothing: they may be
// of no flow, start one, or need another look at their header. While the stamp
// holds, refresh would report true for further segments with the same control
// bits, and change nothing but the expiry time.
func (f *Filter) refresh(id *flow.ID, s segment, now int64, count *flow.Counting) (stamp flow.Stamp, ok bool) {
	stamp, _ = f.state.flows.UpdateID(id, now, count, func(e *flow.Entry[conn]) flow.Action {
		c := &e.Value
		if c.gen != f.gen || c.traits&(headerChecked|revoked) != headerChecked {
			return flow.Leave
		}
		ok = true
		return flow.Count | f.update(e, s, now)
	})
	return stamp, ok
}

// lookup returns what the state says of the flow id, of which s is a segment. It
// updates the flow if that is open. jailed says that the sender of s is jailed.
// While the stamp holds, lookup would return the same for further segments with
// the same control bits.
func (f *Filter) lookup(id *flow.ID, s segment, now int64, jailed bool, count *flow.Counting) (st ctState, stamp flow.Stamp) {
	stamp, _ = f.state.flows.UpdateID(id, now, count, func(e *flow.Entry[conn]) flow.Action {
		c := &e.Value
		if s.flags&packet.TCPSyn == 0 && !jailed && !c.has(revoked) && (c.gen == f.gen || !c.subjectToRules()) {
			st = ctOpen // as ctStateOf says of most packets, without the call
			return flow.Count | f.update(e, s, now)
		}
		st = f.ctStateOf(c, s, jailed)
		switch st {
		case ctOpen:
			return f.update(e, s, now)
		case ctRevoked:
			f.extendRevoked(e, now)
			return flow.Touch
		case ctStale:
			return flow.Leave | flow.Changed // s may have picked the flow up
		}
		return flow.Leave
	})
	return st, stamp
}

// peek returns the flow k, and what the state and the rules in force say of its
// packets: never ctStale. It changes nothing. jailed says that the peer is
// jailed.
func (f *Filter) peek(k flow.Key, now int64, jailed bool) (c conn, st ctState) {
	c, known := f.state.flows.Peek(k, now)
	if !known {
		return c, ctNew
	}
	st = f.ctStateOf(&c, segment{fromPeer: true}, jailed)
	if st == ctStale {
		st = ctRevoked
		if f.allows(k) {
			st = ctOpen
		}
	}
	return c, st
}

// isOpen reports whether the flow k is open. It changes nothing.
func (f *Filter) isOpen(k flow.Key, now int64, jailed bool) bool {
	_, st := f.peek(k, now, jailed)
	return st == ctOpen
}

// ctStateOf returns what c says of the segment s.
func (f *Filter) ctStateOf(c *conn, s segment, jailed bool) ctState {
	switch {
	case s.isSYN() && f.isNewConnection(c, s):
		return ctNew
	case jailed && c.maybePeerInitiated():
		return ctJailed
	case f.isStale(c), !s.fromPeer && s.isSYNACK() && c.pickUp(s):
		return ctStale
	case c.has(revoked):
		return ctRevoked
	}
	return ctOpen
}

// isNewConnection reports whether the SYN s starts a new connection in the place
// of c. Otherwise it is a retransmission, or one half of a simultaneous open
// (RFC 9293 §3.5): a SYN in reply to a SYN that nothing else has replied to, and
// its retransmissions.
func (f *Filter) isNewConnection(c *conn, s segment) bool {
	switch {
	case c.phase.ended() || c.has(revoked|pickedUp) || f.isStale(c):
		return true
	case c.has(peerInitiated) == s.fromPeer:
		return c.has(exempt) // which holds for the connection that got the flag, not for the next one
	case s.fromPeer && c.has(simultaneousOpen):
		return false
	}
	return c.phase != phaseNew
}

// isStale reports whether the rules of f have still to be asked about c.
func (f *Filter) isStale(c *conn) bool {
	return c.subjectToRules() && c.gen != f.gen && (!f.keep || c.has(revoked) || c.gen < f.keepFrom)
}

// update updates the open flow e with its segment s, which passes. The header of
// an inbound one has been checked.
func (f *Filter) update(e *flow.Entry[conn], s segment, now int64) flow.Action {
	c := &e.Value
	proto := e.Key().Proto()
	before := *c
	c.setGen(f.gen)
	if s.fromPeer {
		c.traits |= headerChecked
	}
	crosses := s.fromPeer && s.isSYN() && !c.has(peerInitiated)
	switch {
	case s.isRST(), s.fromPeer && !s.isSYN():
		c.traits &^= simultaneousOpen
	case crosses && c.phase == phaseNew:
		c.traits |= simultaneousOpen
	case !s.fromPeer && s.isSYN():
		c.isn = s.isn
	}
	c.phase = c.nextPhase(proto, s)
	if !crosses {
		e.Expires = f.limits.expiry(proto, s, before.phase, c.phase, e.Expires, now)
	}
	if *c == before {
		return flow.Touch
	}
	setEvictionPriority(e)
	return flow.Touch | flow.Changed
}

// extendRevoked sets the expiry time of the revoked flow e.
func (f *Filter) extendRevoked(e *flow.Entry[conn], now int64) {
	e.Expires = now + f.limits.idleTimeoutRevoked(e.Key().Proto(), e.Value.phase)
}

// rejudge asks the rules about the stale flow id, of which s is a segment. It
// updates or revokes the flow, and reports whether the rules allow it. They are
// read while the flow is not locked.
func (f *Filter) rejudge(id *flow.ID, s segment, now int64) bool {
	allowed, admitted := f.allows(id.Key()), false
	f.state.flows.UpdateID(id, now, nil, func(e *flow.Entry[conn]) flow.Action {
		c := &e.Value
		if !c.subjectToRules() {
			return flow.Leave // another goroutine has opened a new flow
		}
		c.setGen(f.gen)
		if allowed {
			c.traits &^= revoked
			f.update(e, s, now)
			admitted = true
		} else {
			c.traits |= revoked
			f.extendRevoked(e, now)
		}
		setEvictionPriority(e)
		return flow.Touch | flow.Changed
	})
	if admitted {
		f.readmit(id)
	}
	return allowed
}

// WorthPrefetching reports whether so many flows are open that Prefetch takes less time than
// it saves.
func (f *Filter) WorthPrefetching() bool { return f.state.flows.Len() >= prefetchFrom }

// prefetchFrom flows do not fit the caches near a processor: with fewer, Prefetch takes
// more time than it saves (BenchmarkKnownFlows).
const prefetchFrom = 8192

// Prefetch has the processor fetch what InRun and RecordRun will read of the flow id, and
// does not wait for it. It changes nothing and takes no lock.
func (f *Filter) Prefetch(id *flow.ID) { f.state.flows.Prefetch(id) }
