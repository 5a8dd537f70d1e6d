package filter

import (
	"net/netip"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// datagram is what the state holds for an inbound datagram of which it has seen a
// first fragment. The host keeps fragments until the datagram is complete or its
// reassembly time is over, and the filter does not know which ones it has. So the
// state keeps the datagram until then, also after its last fragment. Until then
// no first fragment of another length passes with the same identification.
type datagram struct {
	flow   flow.Key      // of the latest first fragment
	gen    uint32        // number of the filter that judged it
	end    int32         // of the first fragment that passed, in bytes; 0: none did
	ports  [2]uint16     // of the latest first fragment: the host's, the peer's
	proto  ipproto.Proto // likewise
	denied bool          // the latest first fragment was dropped
}

// setFirst makes p the latest first fragment.
func (d *datagram) setFirst(p *packet.Parsed) {
	d.flow, _ = inKey(p)
	d.proto, d.ports = p.Proto(), [2]uint16{p.Dst.Port(), p.Src.Port()}
}

// id returns the ID of flow.In of the latest first fragment. p is a later
// fragment.
func (d *datagram) id(p *packet.Parsed) flow.ID {
	return flow.MakeKey(d.proto,
		netip.AddrPortFrom(p.Dst.Addr(), d.ports[0]),
		netip.AddrPortFrom(p.Src.Addr(), d.ports[1])).ID()
}

// overlaps reports whether a first fragment of n bytes differs in length from
// one that passed before: one of the two would overwrite the data of the other,
// or of the fragments that follow it.
func (d *datagram) overlaps(n int) bool { return d.end != 0 && int(d.end) != n }

// datagramOf returns the datagram of the fragment p. ok is false if the state
// does not hold it.
func (f *Filter) datagramOf(p *packet.Parsed, now int64) (d datagram, ok bool) {
	k, _ := flow.InDatagram(p)
	return f.state.fragments.Peek(k, now)
}

// Awaits reports whether the inbound packet p is a later fragment that In drops
// only because the first one of its datagram has not come. It changes nothing. A
// caller that can hold p back asks In when the first one has come.
func (f *Filter) Awaits(p *packet.Parsed, now int64) bool {
	frag, ok := p.Fragment()
	if !ok || frag.Offset == 0 || f.headerReason(p) != ReasonNone {
		return false
	}
	_, known := f.datagramOf(p, now)
	return !known
}

// overlapsFirst reports whether a first fragment of another length than the first
// fragment p has passed.
func (f *Filter) overlapsFirst(p *packet.Parsed, frag packet.Fragment, now int64) bool {
	d, ok := f.datagramOf(p, now)
	return ok && d.overlaps(frag.Len)
}

// rememberFirst keeps the verdict r on the first fragment p for those that follow
// it. It returns r, or ReasonFragmentOverlap if a first fragment of another length
// has passed meanwhile.
func (f *Filter) rememberFirst(p *packet.Parsed, peer flow.PeerID, frag packet.Fragment, r Reason, now int64) Reason {
	k, _ := flow.InDatagram(p)
	f.state.fragments.Upsert(k, flow.Claim{Peer: peer}, now, func(e *flow.Entry[datagram], _ bool) flow.Action {
		d := &e.Value
		if d.overlaps(frag.Len) {
			r = ReasonFragmentOverlap
			return flow.Leave
		}
		d.denied, d.gen = r != ReasonNone, f.gen
		d.setFirst(p)
		if !d.denied {
			d.end, e.Rank = int32(frag.Len), rankAssured
		}
		e.Expires = now + int64(f.limits.Fragment)
		return flow.Touch
	})
	return r
}

// judgeLater returns why the later fragment p is dropped, or ReasonNone. If p
// passes, judgeLater makes id that of the datagram's flow.
func (f *Filter) judgeLater(p *packet.Parsed, id *flow.ID, frag packet.Fragment, now int64, jailed bool) Reason {
	d, ok := f.datagramOf(p, now)
	switch {
	case !ok:
		return ReasonFragmentOrphan
	case frag.Offset < int(d.end):
		return ReasonFragmentOverlap
	case d.denied, (d.gen != f.gen || jailed) && !f.stillAllowed(d.flow, now, jailed):
		return ReasonFragmentDenied
	}
	*id = d.id(p)
	return ReasonNone
}

// stillAllowed reports whether a datagram of the flow k may pass, of which another
// filter, or f before a jail, has let the first fragment pass.
func (f *Filter) stillAllowed(k flow.Key, now int64, jailed bool) bool {
	switch _, st := f.peek(k, now, jailed); st {
	case ctNew:
		return !jailed && !isHostQuery(&k) && k != (flow.Key{}) && f.allows(k)
	case ctOpen:
		return true
	}
	return false
}
