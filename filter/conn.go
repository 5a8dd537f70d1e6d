package filter

import (
	"tstun/ipproto"
	"tstun/packet"
)

// conn is what the state holds for a flow.
type conn struct {
	gen    uint32 // number of the filter that judged it last
	phase  phase
	traits traits
	isn    uint16 // of the host's last SYN, as in segment
}

// traits are properties of a flow.
type traits uint8

const (
	// peerInitiated: the peer opened the flow.
	peerInitiated traits = 1 << iota
	// pickedUp: the host continued a flow that the state did not hold, so
	// either side may have opened it.
	pickedUp
	// exempt: the flag Exempt let the flow in. The rules do not count.
	exempt
	// revoked: the rules of filter gen do not allow the flow.
	revoked
	// peerSYN: the rules let in a SYN of the peer's in a connection that the
	// host opened. If the host replies with a SYN-ACK, the connection may be
	// the peer's.
	peerSYN
	// headerChecked: filter gen let a packet of the peer's through, so the
	// header of the flow's inbound packets passes its checks.
	headerChecked
	// simultaneousOpen: a SYN of the peer's crossed one of the host's, and the
	// peer has sent nothing else since, so it may have got no reply (RFC 9293
	// §3.5).
	simultaneousOpen
)

func (c *conn) has(t traits) bool { return c.traits&t != 0 }

// maybePeerInitiated reports whether the peer may have opened the flow. A jail
// ends such flows, whatever let them in.
func (c *conn) maybePeerInitiated() bool { return c.has(peerInitiated | pickedUp) }

// subjectToRules reports whether the flow ends when the rules do not allow it.
func (c *conn) subjectToRules() bool { return c.maybePeerInitiated() && !c.has(exempt) }

// direction returns which way the first packet of a flow with these traits went. One that
// is picked up began, as far as is known, with a packet of the host's: another filter
// might take it for the host's own.
func (t traits) direction() Direction { return Direction(t&peerInitiated != 0) }

// setGen records that the filter gen judges c. Which headers another filter let
// pass does not count for it.
func (c *conn) setGen(gen uint32) {
	if c.gen != gen {
		c.gen = gen
		c.traits &^= headerChecked
	}
}

// pickUp marks c as picked up if the SYN-ACK s of the host's may accept a
// connection that the peer opened, and reports whether c is picked up. That is so
// after an accepted SYN of the peer's. It is also so after a SYN that seemed to
// cross the host's, if the SYN-ACK has another initial sequence number than the
// host's SYN (RFC 9293 §3.5): then a listener has sent it. The rules decide
// whether such a connection goes on.
func (c *conn) pickUp(s segment) bool {
	if c.has(peerSYN) || c.has(simultaneousOpen) && c.isn != s.isn {
		c.traits = c.traits&^(peerSYN|simultaneousOpen) | pickedUp
	}
	return c.has(pickedUp)
}

// isAssured reports whether the flow is in use both ways and has not ended: it is
// worth more than others. Pings never are: no other flow depends on one.
func (c *conn) isAssured(proto ipproto.Proto) bool {
	return !proto.IsICMP() && c.phase >= phaseEstablished && !c.phase.ended()
}

// phase is how far a flow has come.
type phase uint8

const (
	// phaseNew: only the initiator has sent. TCP: a SYN, or a segment of a
	// connection that was picked up.
	phaseNew phase = iota
	// phaseReplied: the other side has replied. TCP: the initiator's ACK of
	// the handshake is missing.
	phaseReplied
	// phaseEstablished: the initiator has sent again after the reply. TCP: the
	// handshake is complete.
	phaseEstablished
	// The rest is for TCP only.
	phaseHostClosed // the host has sent FIN
	phasePeerClosed // the peer has sent FIN
	phaseClosed     // both sides have sent FIN
	// phaseUncertain: one side has sent RST, or the peer has sent SYN after the
	// end. The host's next segment tells whether the connection goes on.
	phaseUncertain
)

// ended reports whether the connection has ended, as far as the peer can tell.
func (p phase) ended() bool { return p == phaseClosed || p == phaseUncertain }

// nextPhase returns the phase of c after the segment s.
func (c *conn) nextPhase(proto ipproto.Proto, s segment) phase {
	fromInitiator := s.fromPeer == c.has(peerInitiated)
	if proto != ipproto.TCP {
		return c.nextPhaseConnectionless(fromInitiator)
	}
	switch {
	case s.isRST():
		return phaseUncertain
	case c.phase == phaseUncertain:
		return afterUncertain(s)
	case c.phase == phaseNew && fromInitiator || c.phase == phaseClosed:
		return c.phase
	case s.flags&packet.TCPFin != 0:
		return afterFIN(c.phase, s.fromPeer)
	case c.phase == phaseNew:
		// SYN-ACK; the SYN of a simultaneous open (RFC 9293 §3.5); or a
		// segment in a connection that was picked up.
		return phaseReplied
	case c.phase == phaseReplied && fromInitiator && s.flags&packet.TCPAck != 0:
		return phaseEstablished
	}
	return c.phase
}

// nextPhaseConnectionless returns the phase of c, which is of a protocol without
// connections, after a packet.
func (c *conn) nextPhaseConnectionless(fromInitiator bool) phase {
	switch {
	case c.phase == phaseNew && !fromInitiator:
		return phaseReplied
	case c.phase == phaseReplied && fromInitiator:
		return phaseEstablished
	}
	return c.phase
}

// afterUncertain returns the phase that follows phaseUncertain after a segment
// that is no RST. Only the host's tell: it did not accept the RST (RFC 5961
// §3.2), or it accepts the peer's new connection.
func afterUncertain(s segment) phase {
	switch {
	case s.fromPeer:
		return phaseUncertain
	case s.isSYNACK():
		return phaseReplied
	case s.flags&packet.TCPFin != 0:
		return phaseHostClosed
	}
	return phaseEstablished
}

// afterFIN returns the phase that follows p after a FIN.
func afterFIN(p phase, fromPeer bool) phase {
	switch {
	case p == phaseHostClosed && fromPeer, p == phasePeerClosed && !fromPeer:
		return phaseClosed
	case p == phaseHostClosed, p == phasePeerClosed:
		return p
	case fromPeer:
		return phasePeerClosed
	}
	return phaseHostClosed
}
