package filter

import (
	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// RunOut judges the outbound packet p at Now, and records it if it passes.
func (f *Filter) RunOut(p *packet.Parsed, flags RunFlags) Response {
	now := Now()
	v := f.Out(p, now, flags)
	if v.Response == Accept {
		f.Record(p, now)
	}
	return v.Response
}

// Out judges the outbound packet p. It changes no state: Record does, once
// the packet is sure to go out.
func (f *Filter) Out(p *packet.Parsed, now int64, flags RunFlags) Verdict {
	reason := formReason(p)
	if reason == ReasonNone {
		reason = f.permit.addressReason(p.Src.Addr(), p.Dst.Addr())
	}
	if flags&(LogDrops|LogAccepts) != 0 {
		f.logOut(p, now, flags, reason)
	}
	return verdictFor(reason)
}

// Record records the outbound packet p, which goes out: it opens its flow, so
// that replies come in, or refreshes it. It does nothing for packets that have no
// flow of their own, such as later fragments, ICMP other than queries, and
// multicast.
func (f *Filter) Record(p *packet.Parsed, now int64) {
	var id flow.ID
	id.SetOut(p)
	f.RecordRun(p, &id, now, 0, nil, nil)
}

// RecordRun records the outbound packet p, and says for how long like packets
// need neither Out nor RecordRun: while the stamp holds, under the conditions of
// InRun. id is the ID of flow.Out(p), which RecordRun does not keep. flags tell
// whether the peer that p goes to is Jailed. peers tells whose an address is;
// with nil peers, each address is a peer of its own. RecordRun may count count, as InRun
// does.
func (f *Filter) RecordRun(p *packet.Parsed, id *flow.ID, now int64, flags RunFlags, peers Peers, count *flow.Counting) flow.Stamp {
	if formReason(p) != ReasonNone {
		return flow.Stamp{}
	}
	var query flow.ID
	if id = outFlow(p, id, &query); id == nil {
		return flow.Stamp{}
	}
	s := segmentOf(p, false)
	if p.IPProto != ipproto.UDP && p.IPProto != ipproto.TCP || p.IsFragment() {
		count = nil // statistics have its flow elsewhere
	}
	st, stamp := f.lookup(id, s, now, false, count)
	switch st {
	case ctNew:
		f.openOut(id, s, now, flags, peers)
	case ctStale:
		f.rejudge(id, s, now)
	default:
		return stamp
	}
	return flow.Stamp{}
}

// openOut opens the flow id, of which the host sends s, if the host may have
// initiated it or the rules allow it.
func (f *Filter) openOut(id *flow.ID, s segment, now int64, flags RunFlags, peers Peers) {
	f.activate(now)
	k := id.Key()
	if o := f.originOut(&k, s, now, flags&Jailed != 0); o != originRefused {
		f.open(id, s, o.traits(), peerID(peers, k.Peer().Addr()), now)
	}
}
