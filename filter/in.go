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
// opens its flow or refreshes it. It does not keep p.
func (f *Filter) In(p *packet.Parsed, now int64, flags RunFlags) Verdict {
	var id flow.ID
	id.SetIn(p)
	v, _ := f.InRun(p, &id, now, flags, nil, nil)
	return v
}

// InRun judges the inbound packet p, updates the state, and says for how long
// the verdict holds. id is the ID of flow.In(p). InRun does not keep it, but
// makes it that of the first fragment if p is a later fragment that passes: that
// has no ports of its own. peers tells whose an address is; with nil peers, each
// address is a peer of its own.
//
// While the stamp holds and has not expired, further whole packets with p's
// protocol, addresses, ports and control bits (PSH aside) and the same flags need
// not be judged: they would get the same verdict, and change nothing but the
// expiry time of their flow.
//
// If count is not nil, InRun may count it in the account of the flow, if it accepts p: most
// packets are counted where their flow is looked up, others by State.Add.
func (f *Filter) InRun(p *packet.Parsed, id *flow.ID, now int64, flags RunFlags, peers Peers, count *flow.Counting) (Verdict, flow.Stamp) {
	if stamp, ok := f.acceptOpen(p, id, now, flags, count); ok {
		return Verdict{Response: Accept}, stamp
	}
	reason, begins := f.judgeIn(p, id, now, flags, peers)
	if flags&(LogDrops|LogAccepts) != 0 {
		f.logIn(p, now, flags, reason, begins)
	}
	return verdictFor(reason), flow.Stamp{}
}

// acceptOpen reports whether p is a whole TCP or UDP packet of an open flow,
// which it refreshes. All other packets are for judgeIn.
func (f *Filter) acceptOpen(p *packet.Parsed, id *flow.ID, now int64, flags RunFlags, count *flow.Counting) (stamp flow.Stamp, ok bool) {
	s := segmentOf(p, true)
	if p.IPProto != ipproto.UDP && p.IPProto != ipproto.TCP || s.isSYN() || flags&Jailed != 0 || p.IsFragment() {
		return flow.Stamp{}, false
	}
	return f.refresh(id, s, now, count)
}

// verdictFor returns the verdict on a packet that is dropped for r, or that
// passes if r is ReasonNone.
func verdictFor(r Reason) Verdict {
	switch r {
	case ReasonNone:
		return Verdict{Response: Accept}
	case ReasonMalformed, ReasonMulticast, ReasonLinkLocal, ReasonMappedAddr, ReasonMartian:
		return Verdict{Response: DropSilently, Reason: r}
	}
	return Verdict{Response: Drop, Reason: r}
}

// headerReason returns why the inbound packet p is dropped for its header alone,
// whatever rules and state say, or ReasonNone.
func (f *Filter) headerReason(p *packet.Parsed) Reason {
	if r := formReason(p); r != ReasonNone {
		return r
	}
	dst := p.Dst.Addr()
	if r := f.permit.addressReason(p.Src.Addr(), dst); r != ReasonNone {
		return r
	}
	if isSameHost(p.Src.Addr(), dst) {
		return ReasonMartian
	}
	if !f.isLocal(dst) {
		return ReasonNotLocal
	}
	return ReasonNone
}

// isSameHost reports whether src and dst are one address. No inbound packet
// comes from its own destination: nobody sends such a packet through a tunnel.
func isSameHost(src, dst netip.Addr) bool { return src.Unmap() == dst.Unmap() }

// isLocal reports whether packets to dst, which is permitted, are for this
// host.
func (f *Filter) isLocal(dst netip.Addr) bool {
	dst = dst.Unmap()
	return dst.IsMulticast() || f.local.Contains(dst)
}

// judgeIn returns why the inbound packet p is dropped, or ReasonNone. begins
// reports whether p passes and starts a flow.
func (f *Filter) judgeIn(p *packet.Parsed, id *flow.ID, now int64, flags RunFlags, peers Peers) (r Reason, begins bool) {
	f.activate(now)
	if r := f.headerReason(p); r != ReasonNone {
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
	if r = f.rememberFirst(p, peerID(peers, p.Src.Addr()), frag, r, now); r != ReasonNone {
		begins = false
	}
	return r, begins
}

// judgeTransport judges a packet that has a transport header: a whole one, or a
// first fragment. Its results are those of judgeIn.
func (f *Filter) judgeTransport(p *packet.Parsed, id *flow.ID, now int64, flags RunFlags, peers Peers) (r Reason, begins bool) {
	var query flow.ID
	id = inFlow(p, id, &query)
	jailed := flags&Jailed != 0
	if r, related := f.judgeRelated(p, id, now, jailed, peers); related {
		return r, false
	}
	s := segmentOf(p, true)
	waived := flags&Exempt != 0 && !jailed
	if id != nil {
		switch st, _ := f.lookup(id, s, now, jailed, nil); {
		case st == ctOpen:
			return ReasonNone, false
		case st == ctNew, waived: // with waived, it does not count what the old flow was
		case st == ctJailed:
			return ReasonJailed, false
		case st == ctStale && f.rejudge(id, s, now):
			return ReasonNone, false
		default:
			return ReasonRevoked, false
		}
	}
	if f.loose && !jailed && !f.shieldsUp && p.IPProto == ipproto.TCP && !p.IsTCPSyn() {
		return ReasonNone, true
	}
	if jailed {
		return ReasonJailed, false
	}
	t := peerInitiated
	if waived {
		t |= exempt
	} else if r := f.judgeNew(p.IPProto, p.Src.Addr(), p.Dst.Addr(), p.Dst.Port()); r != ReasonNone {
		return r, false
	}
	if id != nil {
		f.open(id, s, t, peerID(peers, p.Src.Addr()), now)
	}
	return ReasonNone, true
}

// judgeNew returns why the peer src may not open a flow of proto to dst and
// port, or ReasonNone. It depends on nothing but f. It takes mapped addresses
// for the IPv4 addresses that they map.
func (f *Filter) judgeNew(proto ipproto.Proto, src, dst netip.Addr, port uint16) Reason {
	switch {
	case f.shieldsUp:
		return ReasonShieldsUp
	case !f.index.allows(proto, src.Unmap(), dst.Unmap(), port):
		return ReasonNoRule
	}
	return ReasonNone
}

// allows reports whether the rules let the peer of k open it.
func (f *Filter) allows(k flow.Key) bool {
	host := k.Host()
	return f.judgeNew(k.Proto(), k.Peer().Addr(), host.Addr(), host.Port()) == ReasonNone
}
