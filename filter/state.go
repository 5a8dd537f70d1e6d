package filter

import (
	"sync/atomic"

	"tstun/flow"
	"tstun/ipproto"
)

// State holds the open flows and the fragmented datagrams of a Filter. It
// outlives the filter if it is given to the next one. It is safe for
// concurrent use, also by several filters at once.
type State struct {
	flows     *flow.Table[conn]
	fragments *flow.Table[datagram]
	// filters numbers the filters that share the state; a flow carries the
	// number of the one that judged it last.
	filters   atomic.Uint32
	latest    atomic.Pointer[Filter]   // the newest of these
	active    atomic.Pointer[Filter]   // the one that judged last
	history   ruleHistory              // the rules of the others
	startedAt atomic.Int64             // when a packet was first judged; 0: none was
	accounts  atomic.Pointer[Accounts] // nil: flows has no accounts
	audit     atomic.Pointer[Filter]   // asked about new flows; nil: none is
}

// startedWithin reports whether the first packet was judged no longer than span
// before now.
func (s *State) startedWithin(now, span int64) bool {
	start := s.startedAt.Load()
	return start == 0 || now-start <= span
}

// StateStats is a snapshot of a State's counters.
type StateStats struct {
	Flows, Fragments flow.Stats
}

// Stats returns how many flows and fragmented datagrams s holds, and how many
// were evicted, expired and refused.
func (s *State) Stats() StateStats {
	return StateStats{Flows: s.flows.Stats(), Fragments: s.fragments.Stats()}
}

// Classes of the flow table.
const (
	classTCP = iota
	classUDP
	classICMP
	classOther
)

func newState(l Limits) *State {
	remember := l.remember()
	flows := flow.Config{Limit: l.Flows, Remember: remember}
	flows.Classes[classTCP] = l.TCP
	flows.Classes[classUDP] = l.UDP
	flows.Classes[classICMP] = l.ICMP
	flows.Classes[classOther] = l.Other
	return &State{
		flows:     flow.New[conn](flows),
		fragments: flow.New[datagram](flow.Config{Limit: l.Fragments}),
		history:   ruleHistory{remember: remember},
	}
}

func classOf(proto ipproto.Proto) uint8 {
	switch proto {
	case ipproto.TCP:
		return classTCP
	case ipproto.UDP:
		return classUDP
	case ipproto.ICMPv4, ipproto.ICMPv6:
		return classICMP
	}
	return classOther
}

// Ranks of the flow table's entries, among those of the peers and among those
// of the host. The lowest rank is evicted first.
const (
	rankOrdinary = iota
	rankAssured
	// rankRevoked: an evicted revoked flow could become the host's.
	rankRevoked
)

// setEvictionPriority sets which entries of a full table are evicted before e.
// Flows that peers can open in any number are evicted before the host's.
func setEvictionPriority(e *flow.Entry[conn]) {
	c := &e.Value
	e.EvictFirst = c.has(peerInitiated | pickedUp)
	switch {
	case c.has(revoked):
		e.Rank = rankRevoked
	case c.isAssured(e.Key().Proto()):
		e.Rank = rankAssured
	default:
		e.Rank = rankOrdinary
	}
}
