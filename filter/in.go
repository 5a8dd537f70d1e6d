package filter

import (
	"net/netip"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// RunIn judges the inbound packet p at Now and updates the state.
func (f *Filter) RunIn(p *packet.Parsed, flags RunFlags) Response {
	return f.In(p, Now(), flags).Response
}

// In judges the inbound packet p and updates the state: an accepted packet
// opens its flow or goes on with it. p is not kept.
func (f *Filter) In(p *packet.Parsed, now int64, flags RunFlags) Verdict {
	var id flow.ID
	id.SetIn(p)
	v, _ := f.InRun(p, &id, now, flags, nil)
	return v
}

// InRun is In for a caller that expects more of the same, and knows the ID of
// flow.In(p), which is not kept, and whose the addresses are; with nil peers,
// an address is all that is known of a peer. A later fragment has no ports: if
// it passes, InRun makes id that of its first fragment.
//
// While the stamp holds, further whole packets with p's protocol, addresses,
// ports and control bits, PSH aside, need not be judged with the same flags:
// until it expires they would get the same verdict, and change nothing but when
// their flow expires.
func (f *Filter) InRun(p *packet.Parsed, id *flow.ID, now int64, flags RunFlags, peers Peers) (Verdict, flow.Stamp) {
	if stamp, ok := f.inOpen(p, id, now, flags); ok {
		return Verdict{Response: Accept}, stamp
	}
	reason, begins := f.judgeIn(p, id, now, flags, peers)
	if flags&(LogDrops|LogAccepts) != 0 {
		f.logIn(p, now, flags, reason, begins)
	}
	return verdictFor(reason), flow.Stamp{}
}

// inOpen lets p in, on the shortest way, if it is a whole TCP or UDP packet of
// a flow that goes on. All else is for judgeIn.
func (f *Filter) inOpen(p *packet.Parsed, id *flow.ID, now int64, flags RunFlags) (stamp flow.Stamp, ok bool) {
	s := segmentOf(p, true)
	if p.IPProto != ipproto.UDP && p.IPProto != ipproto.TCP || s.opens() || flags&Jailed != 0 || p.IsFragment() {
		return flow.Stamp{}, false
	}
	return f.goOn(id, s, now)
}

// verdictFor returns the verdict that goes with a reason.
func verdictFor(r Reason) Verdict {
	switch r {
	case ReasonNone:
		return Verdict{Response: Accept}
	case ReasonMalformed, ReasonMulticast, ReasonLinkLocal, ReasonMappedAddr, ReasonMartian:
		return Verdict{Response: DropSilently, Reason: r}
	}
	return Verdict{Response: Drop, Reason: r}
}

// admissible returns why p is dropped whatever rules and state say.
func (f *Filter) admissible(p *packet.Parsed) Reason {
	if r := formReason(p); r != ReasonNone {
		return r
	}
	dst := p.Dst.Addr()
	if r := f.permit.addressReason(p.Src.Addr(), dst); r != ReasonNone {
		return r
	}
	if isToItself(p.Src.Addr(), dst) {
		return ReasonMartian
	}
	if !f.isLocal(dst) {
		return ReasonNotLocal
	}
	return ReasonNone
}

// isToItself reports whether an inbound packet claims to come from its own
// destination, which nobody sends through a tunnel.
func isToItself(src, dst netip.Addr) bool { return src.Unmap() == dst.Unmap() }

// isLocal reports whether packets to dst, which is permitted, are for this
// host.
func (f *Filter) isLocal(dst netip.Addr) bool {
	dst = dst.Unmap()
	return dst.IsMulticast() || f.local.Contains(dst)
}

// judgeIn returns why p is dropped, and if it is not, whether it begins
// something.
func (f *Filter) judgeIn(p *packet.Parsed, id *flow.ID, now int64, flags RunFlags, peers Peers) (r Reason, begins bool) {
	f.judges(now)
	if r := f.admissible(p); r != ReasonNone {
		return r, false
	}
	frag, ok := p.Fragment()
	switch {
	case !ok:
		return f.judgeTransport(p, id, now, flags, peers)
	case frag.Offset != 0:
		return f.judgeLater(p, id, frag, now, flags&Jailed != 0), false
	}
	if f.overlapsFirst(p, frag, now) {
		return ReasonFragmentOverlap, false
	}
	r, begins = f.judgeTransport(p, id, now, flags, peers)
	if r = f.rememberFirst(p, whose(peers, p.Src.Addr()), frag, r, now); r != ReasonNone {
		begins = false
	}
	return r, begins
}

// judgeTransport judges a packet with a transport header.
func (f *Filter) judgeTransport(p *packet.Parsed, id *flow.ID, now int64, flags RunFlags, peers Peers) (r Reason, begins bool) {
	jailed := flags&Jailed != 0
	waived := flags&Exempt != 0 && !jailed
	if concerns, answered := f.judgeAnswer(p, now, jailed, peers); answered {
		return concerns, false
	}
	s := segmentOf(p, true)
	hasFlow := tracked(p)
	if hasFlow && p.IPProto.IsICMP() {
		k, _ := inKey(p)
		query := k.ID()
		id = &query
	}
	if hasFlow {
		switch stands := f.follow(id, s, now, jailed); {
		case stands == standsOpen:
			return ReasonNone, false
		case waived: // the flow begins anew, whatever became of the old one
		case stands == standsStale:
			if f.rejudge(id, s, now) {
				return ReasonNone, false
			}
			return ReasonRevoked, false
		case stands == standsRevoked:
			return ReasonRevoked, false
		case stands == standsJailed:
			return ReasonJailed, false
		}
	}
	if f.loose && !jailed && !f.shieldsUp && p.IPProto == ipproto.TCP && !p.IsTCPSyn() {
		return ReasonNone, true
	}
	if jailed {
		return ReasonJailed, false
	}
	traits := byPeer
	if waived {
		traits |= exempt
	} else if r := f.judgeNew(p.IPProto, p.Src.Addr(), p.Dst.Addr(), p.Dst.Port()); r != ReasonNone {
		return r, false
	}
	if hasFlow {
		f.open(id, s, traits, whose(peers, p.Src.Addr()), now)
	}
	return ReasonNone, true
}

// judgeNew returns why the peer src may not open a flow of proto to dst and
// port. It depends on nothing but f. Mapped addresses, if they get here, are
// judged as the IPv4 addresses that they map.
func (f *Filter) judgeNew(proto ipproto.Proto, src, dst netip.Addr, port uint16) Reason {
	switch {
	case f.shieldsUp:
		return ReasonShieldsUp
	case !f.index.allows(proto, src.Unmap(), dst.Unmap(), port):
		return ReasonNoRule
	}
	return ReasonNone
}

// isOpen reports whether the flow k is open, without counting as a use.
func (f *Filter) isOpen(k flow.Key, now int64, jailed bool) bool {
	c, ok := f.state.flows.Peek(k, now)
	switch {
	case !ok, jailed && c.mayBePeers():
		return false
	case f.stale(&c):
		return f.allows(k)
	}
	return !c.has(revoked)
}
