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

// Record notes that the outbound packet p goes out: it opens its flow, so
// that the answers come in, or goes on with it. It does nothing for packets
// that have no flow of their own, such as later fragments, ICMP other than
// queries, and multicast.
func (f *Filter) Record(p *packet.Parsed, now int64) {
	var id flow.ID
	id.SetOut(p)
	f.RecordRun(p, &id, now, 0, nil)
}

// RecordRun is Record for a caller that expects more of the same, and knows
// the ID of flow.Out(p), which is not kept, whether the peer that p goes to is
// Jailed, of which flags tell, and whose the addresses are. The stamp is as
// InRun's: while it holds, further packets like p need neither Out nor Record.
func (f *Filter) RecordRun(p *packet.Parsed, id *flow.ID, now int64, flags RunFlags, peers Peers) flow.Stamp {
	if formReason(p) != ReasonNone || p.IPProto == ipproto.Fragment || !tracked(p) {
		return flow.Stamp{}
	}
	if p.IPProto.IsICMP() {
		k, _ := outKey(p)
		query := k.ID()
		id = &query
	}
	s := segmentOf(p, false)
	st, stamp := f.followOut(id, s, now)
	switch st {
	case standsAlone:
		f.openOut(id, s, now, flags, peers)
	case standsStale:
		f.rejudge(id, s, now)
	default:
		return stamp
	}
	return flow.Stamp{}
}

// openOut opens the flow that the outbound segment s begins or goes on with.
func (f *Filter) openOut(id *flow.ID, s segment, now int64, flags RunFlags, peers Peers) {
	f.judges(now)
	k := id.Key()
	if o := f.originOut(&k, s, now, flags&Jailed != 0); o != originRefused {
		f.open(id, s, o.traits(), whose(peers, k.Peer().Addr()), now)
	}
}

// followOut is follow for outbound segments.
func (f *Filter) followOut(id *flow.ID, s segment, now int64) (st standing, stamp flow.Stamp) {
	stamp, _ = f.state.flows.UpdateID(id, now, func(e *flow.Entry[conn]) flow.Action {
		c := &e.Value
		switch {
		case s.opens() && f.beginsAnew(c, s):
			return flow.Leave
		case f.stale(c), s.answers() && f.tookOver(c, s):
			st = standsStale
			return flow.Leave | flow.Changed
		case c.has(revoked):
			st = standsRevoked
			e.Expires = now + f.limits.idleRevoked(e.Key().Proto(), c.phase)
		default:
			st = standsOpen
			return f.pass(e, s, now)
		}
		return flow.Touch
	})
	return st, stamp
}

// tookOver reports whether the host's SYN-ACK s in c may grant a connection
// that the peer opened, and is then for the rules to allow: an accepted SYN of
// the peer's came before, or one that seemed to cross the host's, whose answer
// would have the host's initial sequence number (RFC 9293 §3.5). A listener has
// taken it.
func (f *Filter) tookOver(c *conn, s segment) bool {
	if c.has(contested) || c.has(crossed) && c.isn != s.isn {
		c.traits = c.traits&^(contested|crossed) | adopted
	}
	return c.has(adopted)
}
