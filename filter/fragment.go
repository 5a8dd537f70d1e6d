package filter

import (
	"net/netip"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// datagram is what the state holds for an inbound datagram of which a first
// fragment was seen. A host keeps fragments until the datagram is whole or its
// time is over, and which of them it has is not known here: so nothing that
// passed is forgotten, not even when the last fragment has passed, and the
// identification can be used for another datagram with a first fragment of
// another length only when the time is over.
type datagram struct {
	flow   flow.Key      // of the latest first fragment
	gen    uint32        // number of the filter that judged it
	end    int32         // of the first fragment that passed, in bytes; 0: none did
	ports  [2]uint16     // of the latest first fragment: the host's, the peer's
	proto  ipproto.Proto // likewise
	denied bool          // the latest first fragment was dropped
}

// note makes p the latest first fragment.
func (d *datagram) note(p *packet.Parsed) {
	d.flow, _ = inKey(p)
	d.proto, d.ports = p.Proto(), [2]uint16{p.Dst.Port(), p.Src.Port()}
}

// id returns the ID that flow.In had of the latest first fragment, for p, a
// later one.
func (d *datagram) id(p *packet.Parsed) flow.ID {
	return flow.MakeKey(d.proto,
		netip.AddrPortFrom(p.Dst.Addr(), d.ports[0]),
		netip.AddrPortFrom(p.Src.Addr(), d.ports[1])).ID()
}

// overlaps reports whether a first fragment of n bytes differs in length from
// one that passed before: one of the two would write over the data of the
// other, or over those of its successors.
func (d *datagram) overlaps(n int) bool { return d.end != 0 && int(d.end) != n }

// datagramOf returns what is known of the datagram of the fragment p.
func (f *Filter) datagramOf(p *packet.Parsed, now int64) (d datagram, ok bool) {
	k, _ := flow.InDatagram(p)
	return f.state.fragments.Peek(k, now)
}

// Awaits reports whether the inbound packet p is a later fragment that In drops
// for no other reason than that it does not know the first of its datagram. It
// changes nothing. A caller that can hold p back asks In when that has come.
func (f *Filter) Awaits(p *packet.Parsed, now int64) bool {
	frag, ok := p.Fragment()
	if !ok || frag.Offset == 0 || f.admissible(p) != ReasonNone {
		return false
	}
	_, known := f.datagramOf(p, now)
	return !known
}

// overlapsFirst reports whether the first fragment p is one too many.
func (f *Filter) overlapsFirst(p *packet.Parsed, frag packet.Fragment, now int64) bool {
	d, ok := f.datagramOf(p, now)
	return ok && d.overlaps(frag.Len)
}

// rememberFirst keeps the verdict r on the first fragment p for those that
// follow, and returns it, unless another first fragment passed meanwhile.
func (f *Filter) rememberFirst(p *packet.Parsed, peer flow.PeerID, frag packet.Fragment, r Reason, now int64) Reason {
	k, _ := flow.InDatagram(p)
	f.state.fragments.Upsert(k, flow.Claim{Peer: peer}, now, func(e *flow.Entry[datagram], _ bool) flow.Action {
		d := &e.Value
		if d.overlaps(frag.Len) {
			r = ReasonFragmentOverlap
			return flow.Leave
		}
		d.denied, d.gen = r != ReasonNone, f.gen
		d.note(p)
		if !d.denied {
			d.end, e.Rank = int32(frag.Len), rankAssured
		}
		e.Expires = now + int64(f.limits.Fragment)
		return flow.Touch
	})
	return r
}

// judgeLater returns why the fragment p, not the first, is dropped. If it is
// not, it makes id that of the datagram's flow.
func (f *Filter) judgeLater(p *packet.Parsed, id *flow.ID, frag packet.Fragment, now int64, jailed bool) Reason {
	d, ok := f.datagramOf(p, now)
	switch {
	case !ok:
		return ReasonFragmentOrphan
	case frag.Offset < int(d.end):
		return ReasonFragmentOverlap
	case d.denied, (d.gen != f.gen || jailed) && !f.mayGoOn(d.flow, now, jailed):
		return ReasonFragmentDenied
	}
	*id = d.id(p)
	return ReasonNone
}

// mayGoOn reports whether a datagram of the flow k that another filter, or f
// before a jail, has let in may still go on.
func (f *Filter) mayGoOn(k flow.Key, now int64, jailed bool) bool {
	if _, known := f.state.flows.Peek(k, now); known {
		return f.isOpen(k, now, jailed)
	}
	return !jailed && !asksPeer(&k) && k != (flow.Key{}) && f.allows(k)
}
