package accounting

import (
	"tstun/filter"
	"tstun/flow"
)

// datagrams remembers of which flow the first fragment of each datagram was, so
// that the others, which have no ports, are counted under it. A peer has its
// share of it, as of Flows.
type datagrams struct {
	in, out *flow.Table[flow.Key]
}

func newDatagrams() datagrams {
	c := flow.Config{Limit: filter.DefaultFragments}
	return datagrams{in: flow.New[flow.Key](c), out: flow.New[flow.Key](c)}
}

func (d *datagrams) table(way Direction) *flow.Table[flow.Key] {
	if way == In {
		return d.in
	}
	return d.out
}

// FirstFragment remembers that the datagram is of the flow id. The peer is whose
// share that takes.
func (f *Flows) FirstFragment(way Direction, datagram flow.Key, id *flow.ID, peer flow.PeerID, now int64) {
	k, until := id.Key(), now+int64(filter.DefaultFragment)
	f.datagrams.table(way).Upsert(datagram, flow.Claim{Peer: peer}, now, func(e *flow.Entry[flow.Key], _ bool) flow.Action {
		e.Value, e.Expires = k, until
		return flow.Touch
	})
}

// LaterFragment makes id the flow of the datagram, if that is known and id has
// no ports.
func (f *Flows) LaterFragment(way Direction, datagram flow.Key, id *flow.ID, now int64) {
	if k := id.Key(); k.Host().Port() != 0 || k.Peer().Port() != 0 {
		return // the filter knew
	}
	if known, ok := f.datagrams.table(way).Peek(datagram, now); ok {
		*id = known.ID()
	}
}
