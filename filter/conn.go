package filter

import (
	"tstun/ipproto"
	"tstun/packet"
)

// conn is what the state holds for an open flow.
type conn struct {
	gen    uint32 // number of the filter that judged it last
	phase  phase
	traits traits
}

// traits are properties of a flow.
type traits uint8

const (
	// byPeer: the peer opened the flow.
	byPeer traits = 1 << iota
	// exempt: let in by Admit; the rules have no say.
	exempt
	// revoked: the rules of filter gen do not allow it.
	revoked
)

func (c *conn) has(t traits) bool { return c.traits&t != 0 }

// judged reports whether the flow lives by the rules.
func (c *conn) judged() bool { return c.traits&(byPeer|exempt) == byPeer }

// phase is how far a flow has come.
type phase uint8

const (
	// phaseNew: only the opener has sent. For TCP: SYN, or a segment of a
	// connection that began before.
	phaseNew phase = iota
	// phaseAnswered: the other side has answered. TCP: the handshake lacks
	// the opener's ACK.
	phaseAnswered
	// The rest is for TCP only.
	phaseEstablished
	phaseHostClosed // the host has sent FIN
	phasePeerClosed // the peer has sent FIN
	phaseClosed     // both have
	phaseReset      // either has sent RST
)

// over reports whether the connection has ended.
func (p phase) over() bool { return p == phaseClosed || p == phaseReset }

// segment is what the phases depend on, of one packet of a flow.
type segment struct {
	flags  packet.TCPFlag
	byPeer bool
}

// opens reports whether the segment asks for a new connection.
func (s segment) opens() bool {
	return s.flags&(packet.TCPSyn|packet.TCPAck|packet.TCPRst) == packet.TCPSyn
}

// advance returns the phase after a segment of the flow c.
func (c *conn) advance(proto ipproto.Proto, s segment) phase {
	fromOpener := s.byPeer == c.has(byPeer)
	if proto != ipproto.TCP {
		if fromOpener {
			return c.phase
		}
		return phaseAnswered
	}
	switch {
	case s.flags&packet.TCPRst != 0:
		return phaseReset
	case c.phase == phaseNew && fromOpener || c.phase.over():
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

// assured reports whether the flow is worth more than one that nobody ever
// answered or that has ended.
func (c *conn) assured(proto ipproto.Proto) bool {
	switch proto {
	case ipproto.TCP:
		return c.phase >= phaseEstablished && !c.phase.over()
	case ipproto.ICMPv4, ipproto.ICMPv6:
		return false
	}
	return c.phase == phaseAnswered
}

// idle returns how long the flow may be idle, in nanoseconds.
func (l *Limits) idle(proto ipproto.Proto, p phase) int64 {
	switch proto {
	case ipproto.TCP:
		if p == phaseEstablished {
			return int64(l.TCPEstablished)
		}
		return int64(l.TCPTransitory)
	case ipproto.UDP:
		if p == phaseAnswered {
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
