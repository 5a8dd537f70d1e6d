package tunnel

import (
	"net/netip"

	"tstun/filter"
	"tstun/flow"
	"tstun/flowlog"
	"tstun/key"
	"tstun/policy"
)

// flowNames makes Flows of records: with the peers, the policy and the filter of one moment.
// One goroutine at a time uses it.
type flowNames struct {
	live   *live
	hosts  map[netip.Addr]string
	peers  map[flow.PeerID]flowPeer
	filter *filter.Filter
	policy *policy.Policy // nil: there is none
	rules  map[int]*RulePlace
	looks  int // at rules, that are left for refused flows
}

type flowPeer struct {
	key  key.Public
	name string
}

// maxLooks is how many rules are looked at for the refused flows of one answer: about a fifth
// of a second's.
const maxLooks = 1_000_000

// flowNames returns the names as they are now.
func (t *Tunnel) flowNames() *flowNames {
	l := t.now()
	n := &flowNames{live: l, hosts: make(map[netip.Addr]string), peers: make(map[flow.PeerID]flowPeer), rules: make(map[int]*RulePlace), looks: maxLooks}
	for i := range l.Peers {
		p := &l.Peers[i]
		name := t.nameOf(p)
		n.peers[flow.NumberedPeer(l.ids[p.PublicKey])] = flowPeer{p.PublicKey, name}
		for _, a := range p.AllowedIPs {
			if a.IsSingleIP() && name != "" {
				n.hosts[a.Addr()] = name
			}
		}
	}
	if hosts := t.hosts.Load(); hosts != nil {
		for a, name := range *hosts {
			n.hosts[a] = name
		}
	}
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	n.filter, n.policy = t.wrapper.GetFilter(), t.policy
	return n
}

// areOld reports whether the names are not those of now.
func (n *flowNames) areOld(t *Tunnel) bool {
	return n.live != t.now() || n.filter != t.wrapper.GetFilter()
}

// flow makes f a record with its names.
func (n *flowNames) flow(f *Flow, r *flowlog.Record) {
	c := r.Connection()
	*f = Flow{Time: r.Time, Proto: c.Proto}
	id := r.Flow.Peer
	if r.Kind.IsRefused() {
		id = r.Refused.Peer
		n.refused(f, r)
	} else {
		n.passed(f, r)
	}
	peer := n.peers[id]
	f.Peer, f.PeerName = peer.key, peer.name
	f.Src, f.Dst = n.side(c.Src), n.side(c.Dst)
	if f.Initiator == filter.InitiatorPeer {
		f.Src, f.Dst = f.Dst, f.Src
	}
	if f.IsRefused() {
		n.explain(f)
	}
}

func (n *flowNames) side(a netip.AddrPort) FlowSide {
	return FlowSide{Addr: a.Addr(), Port: a.Port(), Name: n.hosts[a.Addr()]}
}

var flowKinds = map[flowlog.Kind]FlowKind{
	flowlog.Began: FlowBegan, flowlog.Updated: FlowOpen, flowlog.Ended: FlowEnded,
	flowlog.Refused: FlowRefused, flowlog.RefusedEnded: FlowForgotten,
}

func (n *flowNames) passed(f *Flow, r *flowlog.Record) {
	x := &r.Flow
	f.Kind, f.Initiator, f.Phase, f.End, f.Revoked = flowKinds[r.Kind], x.Initiator, x.Phase, x.End, x.Revoked
	f.First, f.Last = x.First, x.Last
	f.In, f.Out = FlowTraffic{x.RxPackets, x.RxBytes}, FlowTraffic{x.TxPackets, x.TxBytes}
	if n.policy != nil {
		f.Rule = n.rule(x.Rule(n.filter))
	}
}

func (n *flowNames) refused(f *Flow, r *flowlog.Record) {
	x := &r.Refused
	f.Kind, f.Reason, f.More, f.First, f.Last = flowKinds[r.Kind], x.Reason, x.More, x.First, x.Last
	f.Initiator, f.Out = filter.InitiatorHost, FlowTraffic{x.Packets, x.Bytes}
	if x.Direction == filter.Inbound {
		f.Initiator, f.In, f.Out = filter.InitiatorPeer, f.Out, FlowTraffic{}
	}
}

// rule returns where the policy's rule with an index is, or nil if that is negative.
func (n *flowNames) rule(i int) *RulePlace {
	if i < 0 {
		return nil
	}
	if n.rules[i] == nil {
		n.rules[i] = &RulePlace{i, n.policy.Rule(i)}
	}
	return n.rules[i]
}

// explain says which rule comes nearest to allowing a flow that none allowed.
func (n *flowNames) explain(f *Flow) {
	if n.policy == nil || f.Reason != filter.ReasonNoRule || f.More || n.looks < 0 {
		return
	}
	n.looks -= 1 + len(n.policy.Config().Matches)
	wanted := policy.Flow{Proto: f.Proto, Src: f.Src.Addr, Dst: netip.AddrPortFrom(f.Dst.Addr, f.Dst.Port)}
	x := n.policy.Explain(n.filter, filter.Inbound, wanted)
	if near := x.Nearest; !near.IsZero() {
		f.Nearest, f.NearestRule, f.Lacks = n.policy.Nearest(wanted, near), n.rule(near.Rule), near.Lacks.Names()
	}
	if !x.Response.IsDrop() {
		f.AllowedNow = n.rule(x.Rule)
	}
}
