package filter

import (
	"net/netip"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// datagram is what the state holds for an inbound datagram whose first
// fragment was seen.
type datagram struct {
	end    int32 // of the first fragment's data, in bytes
	denied bool
	last   bool // its last fragment has passed
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

// overlapsFirst reports whether the first fragment p differs in length from
// the one that was seen before of the same datagram: one of the two would
// write over the data of the other's successors. A datagram that is complete
// does not count, since its identification may come again.
func (f *Filter) overlapsFirst(p *packet.Parsed, frag packet.Fragment, now int64) bool {
	d, ok := f.state.fragments.Peek(datagramKey(p, frag.ID), now)
	return ok && !d.denied && !d.last && int(d.end) != frag.Len
}

// rememberFirst keeps the verdict on the first fragment p for those that
// follow.
func (f *Filter) rememberFirst(p *packet.Parsed, frag packet.Fragment, r Reason, now int64) {
	k := datagramKey(p, frag.ID)
	f.state.fragments.Upsert(k, 0, now, func(e *flow.Entry[datagram], _ bool) flow.Action {
		e.Value = datagram{end: int32(frag.Len), denied: r != ReasonNone}
		e.Assured = r == ReasonNone
		e.Expires = now + int64(f.limits.Fragment)
		return flow.Touch
	})
}

// judgeLater returns why the fragment p, not the first, is dropped.
func (f *Filter) judgeLater(p *packet.Parsed, frag packet.Fragment, now int64) Reason {
	r := ReasonFragmentOrphan
	f.state.fragments.Update(datagramKey(p, frag.ID), now, func(e *flow.Entry[datagram]) flow.Action {
		d := &e.Value
		switch {
		case d.denied:
			r = ReasonFragmentDenied
		case frag.Offset < int(d.end):
			r = ReasonFragmentOverlap
		default:
			r = ReasonNone
			d.last = d.last || !frag.More
		}
		return flow.Leave
	})
	return r
}
