package tstun

import (
	"tstun/filter"
	"tstun/flow"
)

// datagramFlows remembers of which flow the first fragment of a datagram was,
// so that the statistics count the others, which have no ports, under it. A
// peer has its share of it, as of the statistics.
type datagramFlows struct {
	in, out *flow.Table[flow.Key]
}

func newDatagramFlows() datagramFlows {
	c := flow.Config{Limit: filter.DefaultFragments}
	return datagramFlows{in: flow.New[flow.Key](c), out: flow.New[flow.Key](c)}
}

// countFragment makes the flow of the packet in hand, which is a fragment, that
// of its datagram, if that is known; a first fragment makes it known.
func (b *batch) countFragment() {
	frag, _ := b.p.Fragment()
	key, _ := flow.OutDatagram(&b.p)
	table, peer := b.cfg.stats.datagrams.out, b.p.Dst.Addr()
	if b.way == dirIn {
		key, _ = flow.InDatagram(&b.p)
		table, peer = b.cfg.stats.datagrams.in, b.p.Src.Addr()
	}
	k := b.id.Key()
	switch {
	case frag.Offset == 0:
		until := b.now + int64(filter.DefaultFragment)
		table.Upsert(key, flow.Claim{Peer: b.cfg.peers.PeerOf(peer)}, b.now, func(e *flow.Entry[flow.Key], _ bool) flow.Action {
			e.Value, e.Expires = k, until
			return flow.Touch
		})
	case k.Host().Port() == 0 && k.Peer().Port() == 0: // else the filter knew
		if known, ok := table.Peek(key, b.now); ok {
			b.id = known.ID()
		}
	}
}
