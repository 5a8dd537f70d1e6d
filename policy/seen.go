package policy

import (
	"net/netip"
	"time"

	"tstun/filter"
	"tstun/flow"
)

// Seen is a flow that was seen: open, ended or refused.
type Seen struct {
	// Flow is the flow, if a peer began it or wanted to. What the host begins needs
	// no rule: nothing is computed on it.
	Flow
	// Outbound: the host began it, or it is not known who did.
	Outbound bool `json:"outbound,omitempty"`
	// Refused: it was refused, for want of a rule that allows it.
	Refused bool `json:"refused,omitempty"`
	// Peer is whose the source is, in whatever words, or empty.
	Peer    string    `json:"peer,omitempty"`
	Packets uint64    `json:"packets"`
	Bytes   uint64    `json:"bytes"`
	Last    time.Time `json:"last,omitzero"` // when the last packet was counted
}

// ruleOf returns the index of the rule that lets a flow in, or -1. f is of a policy's
// Config.
func ruleOf(f *filter.Filter, x Flow) int {
	return f.RuleOf(filter.Inbound, flow.MakeKey(x.Proto, x.Dst, netip.AddrPortFrom(x.Src, 0)))
}
