package policy

import (
	"cmp"
	"iter"
	"slices"

	"tstun/filter"
)

// Plan is what becomes of flows that were seen, when a policy comes into force.
type Plan struct {
	// Cut are the flows that were let in and would end, and LetIn those that were
	// refused and would get in: as many as were wanted, those with the most bytes first.
	Cut   []Seen `json:"cut"`
	LetIn []Seen `json:"letIn"`
	// Peers are all of them in numbers, by Seen.Peer, in order.
	Peers []PeerPlan `json:"peers"`
}

// PeerPlan is what becomes of the flows of one peer.
type PeerPlan struct {
	Peer         string `json:"peer"`
	Open         int    `json:"open"`         // flows that were let in
	Cut          int    `json:"cut"`          // and those of them that would end
	CutBytes     uint64 `json:"cutBytes"`     // that the latter carried
	Refused      int    `json:"refused"`      // flows that were refused
	LetIn        int    `json:"letIn"`        // and those of them that would get in
	LetInPackets uint64 `json:"letInPackets"` // that were refused of the latter
}

// CutFlows returns how many flows would end, of all peers.
func (p *Plan) CutFlows() (n int) {
	for i := range p.Peers {
		n += p.Peers[i].Cut
	}
	return n
}

// Plan returns what would become of flows, with so many of them at most in either list, or
// with limit 0 with all. Flows that the host began need no rule, and go on. The error is
// that of filter.New.
func (p *Policy) Plan(seen iter.Seq[Seen], limit int) (*Plan, error) {
	f, err := filter.New(p.Config())
	if err != nil {
		return nil, err
	}
	cut, letIn := most{[]Seen{}}, most{[]Seen{}}
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
			letIn.add(&s, limit)
		case drops:
			of.Open++
			of.Cut++
			of.CutBytes += s.Bytes
			cut.add(&s, limit)
		default:
			of.Open++
		}
	}
	cut.sort(limit)
	letIn.sort(limit)
	plan := &Plan{Cut: cut.flows, LetIn: letIn.flows, Peers: make([]PeerPlan, 0, len(peers))}
	for _, of := range peers {
		plan.Peers = append(plan.Peers, *of)
	}
	slices.SortFunc(plan.Peers, func(a, b PeerPlan) int { return cmp.Compare(a.Peer, b.Peer) })
	return plan, nil
}

// most is the flows with the most bytes.
type most struct{ flows []Seen }

// spare is how many flows more than are wanted most holds before it sorts them.
const spare = 1 << 10

// add holds s, if it may be among the first limit, or with limit 0 always.
func (m *most) add(s *Seen, limit int) {
	if limit > 0 && len(m.flows) >= limit+spare {
		m.sort(limit)
	}
	m.flows = append(m.flows, *s)
}

// sort leaves those of the most bytes, of equal ones those that came first.
func (m *most) sort(limit int) {
	slices.SortStableFunc(m.flows, func(a, b Seen) int { return cmp.Compare(b.Bytes, a.Bytes) })
	if limit > 0 {
		m.flows = m.flows[:min(limit, len(m.flows))]
	}
}
