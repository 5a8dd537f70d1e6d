package tunnel

import (
	"errors"
	"net/netip"
	"time"

	"tstun/filter"
	"tstun/flowlog"
	"tstun/policy"
)

// ErrNoAudit is that a tunnel tries no second policy.
var ErrNoAudit = errors.New("tunnel: no policy is tried: Audit names none")

// Audit is what a second policy would do otherwise than the one in force.
type Audit struct {
	InForce PolicyStatus `json:"inForce,omitzero"`
	Tried   PolicyStatus `json:"tried"`
	// WouldDrop counts the flows that passed and would be refused, WouldPass those that
	// were refused and would pass.
	WouldDrop AuditTotal `json:"wouldDrop"`
	WouldPass AuditTotal `json:"wouldPass"`
	// Flows are the flows that are counted, as many as were wanted.
	Flows []AuditedFlow `json:"flows"`
}

// AuditTotal counts flows and what they carried, or what of them was refused, both ways.
type AuditTotal struct {
	Flows int `json:"flows"`
	FlowTraffic
}

// AuditedFlow is a flow, and what the second policy says of it.
type AuditedFlow struct {
	Flow
	Tried TriedVerdict `json:"tried"`
}

// TriedVerdict is what the second policy says of a flow.
type TriedVerdict struct {
	Response filter.Response `json:"response"`
	Reason   filter.Reason   `json:"reason,omitzero"` // of a drop
	Rule     *RulePlace      `json:"rule,omitempty"`  // that would let it in
	// Nearest says which rule comes nearest to allowing the flow, as Flow.Nearest does.
	Nearest string `json:"nearest,omitempty"`
}

// maxAudited bounds the flows that Audit returns of each kind: each takes a look at all
// rules.
const maxAudited = 1000

// Audit returns which flows the second policy, as it is now, would refuse of those that
// are open, and which it would let in of those that were refused within about the last
// minute; with since, also of those that ended or were refused since then, as far as
// they are remembered. It looks at flows that peers began: of the host's own it says
// nothing, as they need no rule.
//
// Of each kind, limit flows are returned at most, 1000 if it is 0 or more: those with
// the most bytes, and those that were refused last. Without a second policy the error is
// ErrNoAudit.
func (t *Tunnel) Audit(since time.Time, limit int) (*Audit, error) {
	p, f := t.tried()
	if f == nil {
		return nil, ErrNoAudit
	}
	if limit <= 0 || limit > maxAudited {
		limit = maxAudited
	}
	differs := func(r *flowlog.Record) bool { return wouldDiffer(f, r) }
	list, err := t.Flows(FlowQuery{Match: differs, Since: since, Limit: limit})
	if err != nil {
		return nil, err
	}
	a := &Audit{InForce: t.Status().Policy, Tried: t.auditStatus(), Flows: []AuditedFlow{}}
	for flow := range list.All {
		a.Flows = append(a.Flows, AuditedFlow{*flow, tryFlow(p, f, flow)})
	}
	n := &list.Total
	a.WouldDrop = AuditTotal{n.Passed, FlowTraffic{n.In.Packets + n.Out.Packets, n.In.Bytes + n.Out.Bytes}}
	a.WouldPass = AuditTotal{n.Refused, n.Dropped}
	return a, nil
}

// wouldDiffer reports whether f says otherwise of a flow that a peer began, or wanted
// to, than what became of it.
func wouldDiffer(f *filter.Filter, r *flowlog.Record) bool {
	c := r.Connection()
	accepts := func() bool {
		return !f.Check(c.Dst.Addr(), c.Src.Addr(), c.Src.Port(), c.Proto).IsDrop()
	}
	if !r.Kind.IsRefused() {
		return r.Flow.Initiator == filter.InitiatorPeer && !r.Flow.Exempt && !r.Flow.Revoked && !accepts()
	}
	x := &r.Refused
	switch {
	case x.More || x.Direction != filter.Inbound:
		return false
	case x.Reason == filter.ReasonNoRule || x.Reason == filter.ReasonNotLocal || x.Reason == filter.ReasonRevoked || x.Reason == filter.ReasonShieldsUp:
		return accepts()
	}
	return false
}

// tryFlow says what a policy and its filter make of a flow that a peer began.
func tryFlow(p *policy.Policy, f *filter.Filter, flow *Flow) (v TriedVerdict) {
	asked := policy.Flow{Proto: flow.Proto, Src: flow.Src.Addr, Dst: netip.AddrPortFrom(flow.Dst.Addr, flow.Dst.Port)}
	e := p.Explain(f, filter.Inbound, asked)
	v = TriedVerdict{Response: e.Response, Reason: e.Reason}
	if e.Rule >= 0 {
		v.Rule = &RulePlace{e.Rule, p.Rule(e.Rule)}
	}
	if !e.Nearest.IsZero() {
		v.Nearest = p.Nearest(asked, e.Nearest)
	}
	return v
}
