package tunnel

import (
	"fmt"
	"iter"
	"net/netip"

	"tstun/filter"
	"tstun/flow"
	"tstun/flowlog"
	"tstun/policy"
)

// Seen returns what policies are computed on, of the flows that q wants: those that peers
// began, and those that were refused to them for want of a rule. Flows that need no rule,
// and those that the rules in force do not allow any longer, are not among them. They are
// those of the moment at which the result is called; q.Limit does not count. A flow's peer
// is its name, or else its public key. Without records the error is ErrNoRecords.
func (t *Tunnel) Seen(q FlowQuery) (iter.Seq[policy.Seen], error) {
	list, err := t.Flows(q)
	if err != nil {
		return nil, err
	}
	return func(yield func(policy.Seen) bool) {
		peers := t.calledPeers()
		for r := range list.recorded() {
			if q.Match != nil && !q.Match(&r) {
				continue
			}
			if s, ok := seenOf(&r, peers); ok && !yield(s) {
				return
			}
		}
	}, nil
}

// calledPeers returns what the peers are called.
func (t *Tunnel) calledPeers() map[flow.PeerID]string {
	l := t.now()
	called := make(map[flow.PeerID]string, len(l.Peers))
	for i := range l.Peers {
		p := &l.Peers[i]
		called[flow.NumberedPeer(l.ids[p.PublicKey])] = t.called(p)
	}
	return called
}

// seenOf returns the flow of a record. ok is false if a policy has nothing to say of it.
func seenOf(r *flowlog.Record, peers map[flow.PeerID]string) (s policy.Seen, ok bool) {
	c := r.Connection()
	s.Flow = policy.Flow{Proto: c.Proto, Src: c.Dst.Addr(), Dst: c.Src}
	if !c.Proto.HasPorts() {
		s.Dst = netip.AddrPortFrom(c.Src.Addr(), 0)
	}
	if r.Kind.IsRefused() {
		x := &r.Refused
		s.Refused, s.Peer, s.Packets, s.Bytes, s.Last = true, peers[x.Peer], x.Packets, x.Bytes, x.Last
		return s, x.Direction == filter.Inbound && !x.More && (x.Reason == filter.ReasonNoRule || x.Reason == filter.ReasonRevoked)
	}
	x := &r.Flow
	s.Peer, s.Packets, s.Bytes, s.Last = peers[x.Peer], x.RxPackets+x.TxPackets, x.RxBytes+x.TxBytes, x.Last
	return s, x.Initiator == filter.InitiatorPeer && !x.Exempt && !x.Revoked
}

// PlanPolicy returns what would become of the flows that q wants, if the text were the
// policy in force, with q.Limit of them at most in either list. It is read for host, or
// with an empty one for Config.PolicyHost. Nothing changes. A text that is wrong, or whose
// own tests do not hold, would not come into force: it is an error that says why.
func (t *Tunnel) PlanPolicy(text []byte, host string, q FlowQuery) (*policy.Plan, error) {
	seen, err := t.Seen(q)
	if err != nil {
		return nil, err
	}
	t.policyMu.Lock()
	file := t.policyFile
	t.policyMu.Unlock()
	if file.name == "" {
		file.name = "policy"
	}
	if host != "" {
		file.host = host
	}
	l, err := file.load(text, nil)
	if err != nil {
		return nil, fmt.Errorf("tunnel: %w", err)
	}
	return l.policy.Plan(seen, q.Limit)
}
