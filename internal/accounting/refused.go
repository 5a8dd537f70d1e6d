package accounting

import (
	"net/netip"
	"time"

	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
)

const (
	// maxSources is of how many sources refused flows are kept, by direction and
	// reason: about 5 MB. A new one takes the place of one whose flows have ended.
	maxSources = 4096
	// SourceFlows is how many refused flows of one source are kept apart, by
	// direction and reason. The rest is summed up, as when it scans ports.
	SourceFlows = 8
	// refusedIdle is after how long without packets a refused flow has ended.
	refusedIdle = time.Minute
)

// Refused is a flow that was refused, or several of one source.
type Refused struct {
	// Key is that of the last packet. Packets that differ in the port of their
	// source alone are of one flow.
	Key    flow.Key
	Way    Direction
	Reason filter.Reason
	// More: this sums up the flows of the source that are not kept apart. Key
	// has the source and no ports, protocol or other side.
	More bool
	Peer flow.PeerID // whose the other side is; 0: nobody's
	Traffic
	First, Last int64
	Policy      uint32         // Serial of the filter at the last packet; 0: none
	Audit       filter.Verdict // what the audit filter says of the flow; zero: not asked
}

// refusedRun is what consecutive refused packets of one flow add up to.
type refusedRun struct {
	Run
	reason filter.Reason
}

// refusal is a Refused in the entry of its source.
type refusal struct {
	flow flow.Key // without the source's port; zero: none
	port uint16   // of the source
	Traffic
	first, last int64
	policy      uint32 // Serial of the filter at the last packet
	audit       uint8  // the reason plus 1; 0: not asked
}

// sourceRefusals are the refused flows of one source, by direction and reason.
type sourceRefusals struct {
	peer flow.PeerID
	// busyUntil is until when all flows are live; 0: not known.
	busyUntil int64
	tags      [SourceFlows]uint16 // of the keys of flows
	more      refusal
	flows     [SourceFlows]refusal
}

// Refuse notes that the packet of the flow id was refused. Drops has it, too.
func (c *Call) Refuse(id *flow.ID, r filter.Reason, size int) {
	last := len(c.refused) - 1
	if last < 0 || c.refused[last].reason != r || !c.refused[last].ID.Equal(id) {
		last++
		c.refused = append(c.refused, refusedRun{reason: r})
		c.refused[last].ID = *id
	}
	c.refused[last].Add(size)
}

// Directions as they stand in the port of a source's key.
const (
	keyOut = 1
	keyIn  = 2
)

// setSource makes the ID the one of the entry of the flow's source.
func (s *refusedSource) setSource(of *refusedRun, way Direction) {
	port := uint16(keyOut)
	if way == In {
		port = keyIn
	}
	s.id.SetSide(&of.ID, way == In, ipproto.Proto(of.reason), port)
}

// withoutSourcePort returns the port of the flow's source, and the key without it.
func withoutSourcePort(k flow.Key, way Direction) (port uint16, rest flow.Key) {
	if way == In {
		return k.PeerPort(), k.WithPorts(k.HostPort(), 0)
	}
	return k.HostPort(), k.WithPorts(0, k.PeerPort())
}

// refuse adds runs to the refused flows. Those of one source that follow each other are
// entered at once, as in a scan.
func (t *entry) refuse(runs []refusedRun) {
	c := t.call
	c.sources = c.sources[:0]
	for begin, end := 0, 0; begin < len(runs); begin = end {
		first := &runs[begin]
		for end = begin + 1; end < len(runs) && t.ofOneSource(first, &runs[end]); end++ {
		}
		if !first.ID.IsZero() { // else its packets are of no flow
			c.sources = append(c.sources, refusedSource{runs: runs[begin:end]})
			c.sources[len(c.sources)-1].setSource(first, t.way)
		}
	}
	if len(c.sources) > 1 {
		for i := range c.sources {
			t.Flows.refused.Prefetch(&c.sources[i].id)
		}
	}
	for i := range c.sources {
		t.refuseFrom(&c.sources[i])
	}
}

// refusedSource is consecutive runs of one source, whose entry has the id.
type refusedSource struct {
	id   flow.ID
	runs []refusedRun
}

// ofOneSource reports whether the packets of both runs, if they are of flows, belong to one
// entry.
func (t *entry) ofOneSource(a, b *refusedRun) bool {
	return a.reason == b.reason && a.ID.IsZero() == b.ID.IsZero() && a.ID.SameSide(&b.ID, t.way == In)
}

// refuseFrom adds the runs of a source.
func (t *entry) refuseFrom(s *refusedSource) {
	add := func(e *flow.Entry[sourceRefusals]) flow.Action {
		t.addAllRefused(e, s.runs)
		e.Expires = t.now + int64(refusedIdle)
		return flow.Touch
	}
	if t.Flows.refused.ChangeID(&s.id, t.now, add) {
		return
	}
	var peer flow.PeerID
	if t.way == In {
		peer = t.Peers.PeerOf(s.id.Key().Peer().Addr())
	}
	t.Flows.refused.UpsertID(&s.id, flow.Claim{Peer: peer}, t.now, func(e *flow.Entry[sourceRefusals], _ bool) flow.Action {
		e.Value.peer = peer
		return add(e)
	})
}

// addAllRefused adds runs to the flows of their source, whose entry is locked. Of those
// that are not kept apart it adds the sum.
func (t *entry) addAllRefused(e *flow.Entry[sourceRefusals], runs []refusedRun) {
	s, peers := &e.Value, t.way == In // peers: the peer's side is the source
	var more Traffic
	for i := range runs {
		r := &runs[i]
		tag := r.ID.TagWithoutPort(peers)
		at := s.find(&r.ID, tag, peers)
		switch {
		case at != nil && t.isLive(at):
			at.port, at.last, at.policy = r.ID.Port(peers), t.now, t.Policy
			at.AddAll(r.Traffic)
		case at == nil && t.isFull(s):
			more.AddAll(r.Traffic)
		default:
			if at == nil {
				i := s.oldest()
				at, s.tags[i] = &s.flows[i], tag
			}
			port, rest := withoutSourcePort(r.ID.Key(), t.way)
			t.addTo(e, at, rest, port, r.Traffic)
		}
	}
	if more.Packets != 0 {
		t.addTo(e, &s.more, flow.Key{}, 0, more)
	}
}

// isFull reports whether all flows of the source that can be kept apart are live.
func (t *entry) isFull(s *sourceRefusals) bool {
	if t.now < s.busyUntil {
		return true
	}
	s.busyUntil = 0
	oldest := &s.flows[s.oldest()]
	if t.isLive(oldest) {
		s.busyUntil = oldest.last + int64(refusedIdle)
		return true
	}
	return false
}

// addTo adds traffic of a flow to its place in the entry of its source, which another flow
// may have now.
func (t *entry) addTo(e *flow.Entry[sourceRefusals], at *refusal, rest flow.Key, port uint16, traffic Traffic) {
	s := &e.Value
	if at.Packets != 0 && (at.flow != rest || !t.isLive(at)) {
		t.Flows.tellRefusedEnded(e.Key(), s, at, t.now)
		*at = refusal{}
	}
	begins := at.Packets == 0
	if begins {
		at.flow, at.first = rest, t.now
		if t.State != nil && at != &s.more {
			at.audit = t.State.AskAudit(t.way, rest)
		}
	}
	at.port, at.last, at.policy = port, t.now, t.Policy
	at.AddAll(traffic)
	if !begins {
		return
	}
	t.Flows.tellRefused(e.Key(), s, at)
	if t.Tell {
		t.call.Begun = append(t.call.Begun, refusedOf(e.Key(), s, at))
	}
}

// isLive reports whether the flow was refused a short time ago.
func (t *entry) isLive(at *refusal) bool {
	return at.Packets != 0 && t.now-at.last < int64(refusedIdle)
}

// refusedOf returns the record of a flow in the entry of its source, which has the key.
func refusedOf(source flow.Key, s *sourceRefusals, at *refusal) Refused {
	from := source.Peer()
	r := Refused{
		Key: at.flow, Way: from.Port() == keyIn, Reason: filter.Reason(source.Proto()), More: at == &s.more, Peer: s.peer,
		Traffic: at.Traffic, First: at.first, Last: at.last, Policy: at.policy, Audit: filter.AuditVerdict(at.audit),
	}
	switch {
	case r.More && r.Way == In:
		r.Key = flow.MakeKey(ipproto.Unknown, netip.AddrPort{}, netip.AddrPortFrom(from.Addr(), 0))
	case r.More:
		r.Key = flow.MakeKey(ipproto.Unknown, netip.AddrPortFrom(from.Addr(), 0), netip.AddrPort{})
	case r.Way == In:
		r.Key = at.flow.WithPorts(at.flow.Host().Port(), at.port)
	default:
		r.Key = at.flow.WithPorts(at.port, at.flow.Peer().Port())
	}
	return r
}

// each calls f with each refused flow of the source.
func (s *sourceRefusals) each(f func(*refusal)) {
	for i := range s.flows {
		if s.flows[i].Packets != 0 {
			f(&s.flows[i])
		}
	}
	if s.more.Packets != 0 {
		f(&s.more)
	}
}

// find returns the flow of id, whose tag without the source's port is given, or nil. peer
// says whether the peer's side is the source.
func (s *sourceRefusals) find(id *flow.ID, tag uint16, peer bool) *refusal {
	for i := range s.tags {
		if s.tags[i] == tag && id.IsWithoutPort(&s.flows[i].flow, peer) {
			return &s.flows[i]
		}
	}
	return nil
}

// oldest returns a free place, or that of the flow that has been quiet for longest.
func (s *sourceRefusals) oldest() int {
	oldest := 0
	for i := range s.flows {
		if s.flows[i].last < s.flows[oldest].last {
			oldest = i
		}
	}
	return oldest
}
