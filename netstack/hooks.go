package netstack

import (
	"net/netip"

	"tstun"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// hook puts the link's hooks behind those that w has.
func (l *link) hook(w *tstun.Wrapper) {
	w.PostFilterIn = chain(w.PostFilterIn, l.fromPeer)
	w.PreFilterFromTunToNetstack = chain(w.PreFilterFromTunToNetstack, l.fromHost)
}

// chain returns a hook that asks second about what first accepts.
func chain(first, second tstun.FilterFunc) tstun.FilterFunc {
	if first == nil {
		return second
	}
	return func(p *packet.Parsed, w *tstun.Wrapper) filter.Response {
		if r := first(p, w); r != filter.Accept {
			return r
		}
		return second(p, w)
	}
}

// fromPeer takes the packets from peers to the stack's addresses. Those that
// claim to come from the host are dropped: they could only be forged.
func (l *link) fromPeer(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
	if !l.isOwn(p.Dst.Addr()) {
		return filter.Accept
	}
	if l.isHost(p.Src.Addr()) {
		return filter.Drop
	}
	if p.Proto() == ipproto.TSMP {
		return filter.Accept // it ends at the Wrapper; the stack would answer with an error
	}
	return l.take(p)
}

// fromHost takes the packets from the host to the stack's addresses.
func (l *link) fromHost(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
	if !l.isOwn(p.Dst.Addr()) {
		return filter.Accept
	}
	return l.take(p)
}

func (l *link) isOwn(a netip.Addr) bool {
	_, ok := (*l.own.Load())[a]
	return ok
}

// setOwn says which addresses are the stack's.
func (l *link) setOwn(addrs []netip.Addr) {
	own := make(map[netip.Addr]struct{}, len(addrs))
	for _, a := range addrs {
		own[a] = struct{}{}
	}
	l.own.Store(&own)
}

// take hands a copy of the packet to the stack, or to a socket.
func (l *link) take(p *packet.Parsed) filter.Response {
	l.counters.in.add(len(p.Buffer()))
	why := l.admit(p)
	if why == noReason {
		return filter.Handled
	}
	l.counters.drop(why, 1)
	if why == ReasonMemory && isSYN(p) {
		if reset, ok := p.TCPReset(); ok {
			l.send(reset) // if that is lost, the peer tries again
		}
	}
	return filter.Drop
}

func (l *link) admit(p *packet.Parsed) Reason {
	if isSYN(p) && l.listeners.isFull(p.Dst) {
		return ReasonBacklog // the peer tries again
	}
	if p.IPProto == ipproto.UDP && l.datagram(p) {
		return noReason
	}
	return l.inbox.put(p)
}

// isSYN reports whether p opens a connection.
func isSYN(p *packet.Parsed) bool {
	return p.IPProto == ipproto.TCP && p.TCPFlags&(packet.TCPSyn|packet.TCPAck) == packet.TCPSyn
}
