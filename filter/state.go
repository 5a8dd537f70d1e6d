package filter

import (
	"sync/atomic"

	"tstun/flow"
	"tstun/ipproto"
)

// State is what a Filter knows of open flows and of fragmented datagrams. It
// outlives the filter if it is given to the next one. It is safe for
// concurrent use, also by several filters at once.
type State struct {
	flows     *flow.Table[conn]
	fragments *flow.Table[datagram]
	// filters numbers the filters that share the state; a flow carries the
	// number of the one that judged it last.
	filters atomic.Uint32
	latest  atomic.Pointer[Filter] // the newest of these
	inForce atomic.Pointer[Filter] // the one that judged last
	past    past                   // the rules of the others
	born    atomic.Int64           // when a packet was first judged; 0: none was
}

// isYoung reports whether the first packet was judged no longer ago than span.
func (s *State) isYoung(now, span int64) bool {
	born := s.born.Load()
	return born == 0 || now-born <= span
}

// StateStats is a snapshot of a State's counters.
type StateStats struct {
	Flows, Fragments flow.Stats
}

// Stats returns the number of flows and fragmented datagrams remembered, and
// how many were forgotten for which cause.
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
		past:      past{remember: remember},
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
// of the host: what is least worth is evicted first.
const (
	rankOrdinary = iota
	rankAssured
	// rankRevoked: forgotten, a revoked flow could become the host's.
	rankRevoked
)

// place sets what the entry's flow is worth when the table is full. Flows
// that peers can make in any number yield to the host's.
func place(e *flow.Entry[conn]) {
	c := &e.Value
	e.Yields = c.has(byPeer | adopted)
	switch {
	case c.has(revoked):
		e.Rank = rankRevoked
	case c.assured(e.Key().Proto()):
		e.Rank = rankAssured
	default:
		e.Rank = rankOrdinary
	}
}
