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
	flow   flow.Key // of the latest first fragment
	gen    uint32   // number of the filter that judged it
	end    int32    // of the first fragment that passed, in bytes; 0: none did
	denied bool     // the latest first fragment was dropped
}

// datagramKey names the datagram that a fragment is of: by addresses and
// identification, in IPv4 also by protocol (RFC 791 §2.3, RFC 8200 §4.5). The
// identification is in place of the ports.
func datagramKey(p *packet.Parsed, id uint32) flow.Key {
	proto := ipproto.Fragment
	if p.IPVersion == 4 {
		proto = p.Proto()
	}
	return flow.MakeKey(proto,
		netip.AddrPortFrom(p.Dst.Addr(), uint16(id>>16)),
		netip.AddrPortFrom(p.Src.Addr(), uint16(id)))
}

// overlaps reports whether a first fragment of n bytes differs in length from
// one that passed before: one of the two would write over the data of the
// other, or over those of its successors.
func (d *datagram) overlaps(n int) bool { return d.end != 0 && int(d.end) != n }

// overlapsFirst reports whether the first fragment p is one too many.
func (f *Filter) overlapsFirst(p *packet.Parsed, frag packet.Fragment, now int64) bool {
	d, ok := f.state.fragments.Peek(datagramKey(p, frag.ID), now)
	return ok && d.overlaps(frag.Len)
}

// rememberFirst keeps the verdict r on the first fragment p for those that
// follow, and returns it, unless another first fragment passed meanwhile.
func (f *Filter) rememberFirst(p *packet.Parsed, peer flow.PeerID, frag packet.Fragment, r Reason, now int64) Reason {
	k := datagramKey(p, frag.ID)
	f.state.fragments.Upsert(k, flow.Claim{Peer: peer}, now, func(e *flow.Entry[datagram], _ bool) flow.Action {
		d := &e.Value
		if d.overlaps(frag.Len) {
			r = ReasonFragmentOverlap
			return flow.Leave
		}
		d.denied, d.gen = r != ReasonNone, f.gen
		d.flow, _ = inKey(p)
		if !d.denied {
			d.end, e.Rank = int32(frag.Len), rankAssured
		}
		e.Expires = now + int64(f.limits.Fragment)
		return flow.Touch
	})
	return r
}

// judgeLater returns why the fragment p, not the first, is dropped.
func (f *Filter) judgeLater(p *packet.Parsed, frag packet.Fragment, now int64, jailed bool) Reason {
	d, ok := f.state.fragments.Peek(datagramKey(p, frag.ID), now)
	switch {
	case !ok:
		return ReasonFragmentOrphan
	case frag.Offset < int(d.end):
		return ReasonFragmentOverlap
	case d.denied, (d.gen != f.gen || jailed) && !f.mayGoOn(d.flow, now, jailed):
		return ReasonFragmentDenied
	}
	return ReasonNone
}

// mayGoOn reports whether a datagram of the flow k that another filter, or f
// before a jail, has let in may still go on.
func (f *Filter) mayGoOn(k flow.Key, now int64, jailed bool) bool {
	if _, known := f.state.flows.Peek(k, now); known {
		return f.isOpen(k, now, jailed)
	}
	answers := k.Proto().IsICMP() && k.Peer().Port() == hostAsks
	return !jailed && !answers && k != (flow.Key{}) && f.allows(k)
}
