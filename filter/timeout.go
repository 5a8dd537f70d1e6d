package filter

import "tstun/ipproto"

// idleTimeout returns how long a flow in phase p may be idle, in nanoseconds.
func (l *Limits) idleTimeout(proto ipproto.Proto, p phase) int64 {
	switch proto {
	case ipproto.TCP:
		if p >= phaseEstablished && !p.ended() {
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

// idleTimeoutRevoked returns how long a revoked flow may be idle, in nanoseconds:
// for TCP as long as the host keeps an idle connection, since it may not know
// that the peer's segments are dropped.
func (l *Limits) idleTimeoutRevoked(proto ipproto.Proto, p phase) int64 {
	if proto == ipproto.TCP {
		return int64(max(l.TCPEstablished, l.TCPTransitory))
	}
	return l.idleTimeout(proto, p)
}

// expiry returns the new expiry time of a flow. old is the one that it has; the
// segment s at now took the flow from the phase before to after. No TCP segment
// of the peer's makes that earlier: a connection that the state no longer holds
// while the host does would look like one of the host's.
func (l *Limits) expiry(proto ipproto.Proto, s segment, before, after phase, old, now int64) int64 {
	until := now + l.idleTimeout(proto, after)
	switch {
	case proto != ipproto.TCP:
		return until
	case s.fromPeer && (before.ended() || s.isRST()):
		return old // nor does it prolong a connection that has ended
	case s.fromPeer:
		return max(old, until)
	case s.isRST():
		return min(old, until)
	}
	return until
}
