package tstun

import (
	"tstun/filter"
	"tstun/flow"
	"tstun/internal/fragqueue"
	"tstun/packet"
)

// hold holds the packet in hand for the first of its datagram. It returns false
// if the packet is to be judged now.
func (b *batch) hold() bool {
	frag, _ := b.Packet.Fragment()
	datagram, _ := flow.InDatagram(&b.Packet)
	orphans, ok := b.w.fragments.Add(fragqueue.Arrival{
		Datagram: datagram,
		Peer:     b.Config.Peers.PeerOf(b.Packet.Src.Addr()),
		Offset:   frag.Offset,
		Packet:   b.Packet.Buffer(),
	}, b.Now, b.AwaitsFirst)
	b.w.logOrphans(orphans, b.Now)
	return ok
}

// releaseHeld judges what was held for the fragment in hand, if that is the
// first of its datagram. If first, its verdict, is a drop, they are dropped for
// the same reason.
func (b *batch) releaseHeld(first filter.Verdict, offset int) {
	frag, ok := b.Packet.Fragment()
	if !ok || frag.Offset != 0 {
		return
	}
	datagram, _ := flow.InDatagram(&b.Packet)
	held := b.w.fragments.Take(datagram)
	b.released = append(b.released, held...)
	for i := range held {
		b.inboundHeld(&held[i], first, offset)
	}
}

// inboundHeld takes a fragment that was held through the rest of the inbound
// path.
func (b *batch) inboundHeld(f *fragqueue.Fragment, first filter.Verdict, offset int) {
	buf := f.PlacedAt(offset)
	b.Packet.Decode(buf[offset:])
	b.Untranslated = b.Untranslated[:0]
	v := b.AdmitAfter(first)
	b.dispatch(v, buf, offset)
	if v.Response == filter.Accept {
		b.others = append(b.others, len(b.out)-1)
	}
}

// logOrphans logs fragments that were dropped because the first of their
// datagram did not come in time, or because there was no room, and shows them to
// the sink.
func (w *Wrapper) logOrphans(orphans []fragqueue.Fragment, now int64) {
	w.observeOrphans(orphans, now)
	f := w.GetFilter()
	if f == nil || len(orphans) == 0 {
		return
	}
	p := new(packet.Parsed)
	for i := range orphans {
		p.Decode(orphans[i].Packet())
		f.LogDrop(p, now, filter.ReasonFragmentOrphan)
	}
}
