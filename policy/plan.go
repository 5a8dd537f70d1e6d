package policy

import (
	"iter"
	"slices"

	"tstun/filter"
)

// Plan is what becomes of flows that were seen, when a policy comes into force.
type Plan struct {
	// Cut are the flows that were let in and would end, and LetIn those that were
	// refused and would get in, both in the order in which they were seen.
	Cut, LetIn []Seen
	// Peers are the same in numbers, by Seen.Peer, in order.
	Peers []PeerPlan
}

// PeerPlan is what becomes of the flows of one peer.
type PeerPlan struct {
	Peer         string
	Open, Cut    int    // flows that were let in, and those of them that would end
	CutBytes     uint64 // that the latter carried
	Refused      int    // flows that were refused
	LetIn        int    // and those of them that would get in
	LetInPackets uint64 // that were refused of the latter
}

// Plan returns what would become of flows. Flows that the host began need no rule,
// and go on. The error is that of filter.New.
func (p *Policy) Plan(seen iter.Seq[Seen]) (*Plan, error) {
	f, err := filter.New(p.Config())
	if err != nil {
		return nil, err
	}
	plan := new(Plan)
	peers := make(map[string]*PeerPlan)
	for s := range seen {
		if s.Outbound {
			continue
		}
		of := peers[s.Peer]
		if of == nil {
			of = &PeerPlan{Peer: s.Peer}
			peers[s.Peer] = of
		}
		drops := f.Check(s.Src, s.Dst.Addr(), s.Dst.Port(), s.Proto).IsDrop()
		switch {
		case s.Refused && drops:
			of.Refused++
		case s.Refused:
			of.Refused++
			of.LetIn++
			of.LetInPackets += s.Packets
			plan.LetIn = append(plan.LetIn, s)
		case drops:
			of.Open++
			of.Cut++
			of.CutBytes += s.Bytes
			plan.Cut = append(plan.Cut, s)
		default:
			of.Open++
		}
	}
	names := make([]string, 0, len(peers))
	for name := range peers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		plan.Peers = append(plan.Peers, *peers[name])
	}
	return plan, nil
}
