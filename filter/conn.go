package filter

import (
	"encoding/binary"

	"tstun/ipproto"
	"tstun/packet"
)

// conn is what the state holds for an open flow.
type conn struct {
	gen    uint32 // number of the filter that judged it last
	phase  phase
	traits traits
	isn    uint16 // of the host's last SYN, as in segment
}

// traits are properties of a flow.
type traits uint8

const (
	// byPeer: the peer opened the flow.
	byPeer traits = 1 << iota
	// adopted: the host went on with a flow that was not known, so either
	// side may have opened it.
	adopted
	// exempt: let in by the flag Exempt; the rules have no say.
	exempt
	// revoked: the rules of filter gen do not allow it.
	revoked
	// contested: the rules let in a SYN of the peer's in the host's own
	// connection. If the host grants it, the connection is the peer's.
	contested
	// admitted: filter gen let a packet of the peer's through, so form and
	// addresses of the flow's packets are right by it.
	admitted
	// crossed: a SYN of the peer's met one of the host's, and the peer has
	// sent nothing else since, so that it may have got no answer (RFC 9293
	// §3.5).
	crossed
)

func (c *conn) has(t traits) bool { return c.traits&t != 0 }

// mayBePeers reports whether the peer may have opened the flow, which a jail
// ends, whatever let it in.
func (c *conn) mayBePeers() bool { return c.has(byPeer | adopted) }

// judged reports whether the flow lives by the rules.
func (c *conn) judged() bool { return c.mayBePeers() && !c.has(exempt) }

// judgedBy makes the filter gen the one that judged c last. What another one
// has admitted it has to look at itself.
func (c *conn) judgedBy(gen uint32) {
	if c.gen != gen {
		c.gen = gen
		c.traits &^= admitted
	}
}

// phase is how far a flow has come.
type phase uint8

const (
	// phaseNew: only the opener has sent. For TCP: SYN, or a segment of a
	// connection that began before.
	phaseNew phase = iota
	// phaseAnswered: the other side has answered. TCP: the handshake lacks
	// the opener's ACK.
	phaseAnswered
	// phaseEstablished: the opener has sent again after the answer. TCP:
	// the handshake is complete.
	phaseEstablished
	// The rest is for TCP only.
	phaseHostClosed // the host has sent FIN
	phasePeerClosed // the peer has sent FIN
	phaseClosed     // both have
	// phaseDoubt: either has sent RST, or the peer has sent SYN after that.
	// What the host sends next tells whether the connection goes on.
	phaseDoubt
)

// over reports whether the connection has ended, as far as the peer can tell.
func (p phase) over() bool { return p == phaseClosed || p == phaseDoubt }

// segment is what the phases depend on, of one packet of a flow.
type segment struct {
	flags  packet.TCPFlag
	byPeer bool
	isn    uint16 // of a SYN: its sequence number, folded
}

// segmentOf returns the segment in p, which is of any protocol.
func segmentOf(p *packet.Parsed, byPeer bool) segment {
	s := segment{flags: p.TCPFlags, byPeer: byPeer}
	if s.flags&packet.TCPSyn != 0 {
		seq := binary.BigEndian.Uint32(p.Transport()[4:])
		s.isn = uint16(seq) ^ uint16(seq>>16)
	}
	return s
}

// kind returns those of the flags that begin and end connections.
func (s segment) kind() packet.TCPFlag {
	return s.flags & (packet.TCPSyn | packet.TCPAck | packet.TCPRst)
}

// opens reports whether the segment asks for a new connection.
func (s segment) opens() bool { return s.kind() == packet.TCPSyn }

// answers reports whether the segment grants a new connection.
func (s segment) answers() bool { return s.kind() == packet.TCPSynAck }

// resets reports whether the segment says that there is no connection.
func (s segment) resets() bool { return s.flags&packet.TCPRst != 0 }

// advance returns the phase after a segment of the flow c.
func (c *conn) advance(proto ipproto.Proto, s segment) phase {
	fromOpener := s.byPeer == c.has(byPeer)
	if proto != ipproto.TCP {
		return c.exchange(fromOpener)
	}
	switch {
	case s.resets():
		return phaseDoubt
	case c.phase == phaseDoubt:
		return resolve(s)
	case c.phase == phaseNew && fromOpener || c.phase == phaseClosed:
		return c.phase
	case s.flags&packet.TCPFin != 0:
		return closing(c.phase, s.byPeer)
	case c.phase == phaseNew:
		// SYN-ACK; the SYN of a simultaneous open (RFC 9293 §3.5); or an
		// answer to a segment in mid-stream.
		return phaseAnswered
	case c.phase == phaseAnswered && fromOpener && s.flags&packet.TCPAck != 0:
		return phaseEstablished
	}
	return c.phase
}

// exchange is advance for protocols without connections.
func (c *conn) exchange(fromOpener bool) phase {
	switch {
	case c.phase == phaseNew && !fromOpener:
		return phaseAnswered
	case c.phase == phaseAnswered && fromOpener:
		return phaseEstablished
	}
	return c.phase
}

// resolve returns the phase after a segment, no RST, of a flow in doubt. Only
// the host can tell: it has not taken the RST for its own (RFC 5961 §3.2), or
// it accepts the peer's new connection.
func resolve(s segment) phase {
	switch {
	case s.byPeer:
		return phaseDoubt
	case s.answers():
		return phaseAnswered
	case s.flags&packet.TCPFin != 0:
		return phaseHostClosed
	}
	return phaseEstablished
}

// closing returns the phase after a FIN.
func closing(p phase, byPeer bool) phase {
	switch {
	case p == phaseHostClosed && byPeer, p == phasePeerClosed && !byPeer:
		return phaseClosed
	case p == phaseHostClosed, p == phasePeerClosed:
		return p
	case byPeer:
		return phasePeerClosed
	}
	return phaseHostClosed
}

// assured reports whether the flow is worth more than one that is not in use
// both ways or that has ended. Pings never are: no opener depends on one.
func (c *conn) assured(proto ipproto.Proto) bool {
	return !proto.IsICMP() && c.phase >= phaseEstablished && !c.phase.over()
}

// idle returns how long the flow may be idle, in nanoseconds.
func (l *Limits) idle(proto ipproto.Proto, p phase) int64 {
	switch proto {
	case ipproto.TCP:
		if p >= phaseEstablished && !p.over() {
			return int64(l.TCPEstablished)
		}
		return int64(l.TCPTransitory)
	case ipproto.UDP:
		if p != phaseNew {
			return int64(l.UDPReplied)
		}
		return int64(l.UDPUnreplied)
	case ipproto.SCTP:
		return int64(l.SCTP)
	case ipproto.ICMPv4, ipproto.ICMPv6:
		return int64(l.ICMPEcho)
	}
	return int64(l.OtherIdle)
}

// idleRevoked is idle for a revoked flow. The host may not know for as long
// as it would keep an idle connection.
func (l *Limits) idleRevoked(proto ipproto.Proto, p phase) int64 {
	if proto == ipproto.TCP {
		return int64(max(l.TCPEstablished, l.TCPTransitory))
	}
	return l.idle(proto, p)
}

// expiry returns when a flow whose time was to be over at old is to be gone,
// after the segment s at now took it from the phase before to after. No TCP
// segment of the peer brings that nearer, since a connection that the filter
// forgets and the host does not would look like one of the host's.
func (l *Limits) expiry(proto ipproto.Proto, s segment, before, after phase, old, now int64) int64 {
	until := now + l.idle(proto, after)
	switch {
	case proto != ipproto.TCP:
		return until
	case s.byPeer && (before.over() || s.resets()):
		return old // nor can it prolong what has ended
	case s.byPeer:
		return max(old, until)
	case s.resets():
		return min(old, until)
	}
	return until
}
