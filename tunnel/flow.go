package tunnel

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/key"
	"tstun/policy"
)

// FlowKind is what a Flow tells.
type FlowKind string

const (
	// FlowOpen: it is open.
	FlowOpen FlowKind = "open"
	// FlowBegan: its first packet passed.
	FlowBegan FlowKind = "began"
	// FlowEnded: it is over, as End says.
	FlowEnded FlowKind = "ended"
	// FlowRefused: it was refused.
	FlowRefused FlowKind = "refused"
	// FlowForgotten: it was refused, and for a minute nothing came of it any more.
	FlowForgotten FlowKind = "forgotten"
)

// Flow is what is known of a flow, with the names of who has to do with it and the rule's
// place in the policy file. It is a value of its own, which the caller may keep.
type Flow struct {
	Kind  FlowKind      `json:"kind"`
	Time  time.Time     `json:"time"` // of which this is
	Proto ipproto.Proto `json:"proto,omitzero"`
	// Src is the side that began the flow, or wanted to: the host's, if that is not known.
	Src FlowSide `json:"src"`
	Dst FlowSide `json:"dst,omitzero"`
	// More: this sums up the flows of the source Src that were refused for Reason and are
	// not kept apart, as of a port scan. Dst and Proto are not known then.
	More      bool             `json:"more,omitempty"`
	Initiator filter.Initiator `json:"initiator"` // of a refused flow, who wanted to begin it
	// Peer and PeerName are whose the peer's side is, or the zero value.
	Peer     key.Public `json:"peer,omitzero"`
	PeerName string     `json:"peerName,omitempty"`
	// In is what came from the peer, Out what went to it. Of a refused flow, it is what
	// was refused.
	In    FlowTraffic   `json:"in,omitzero"`
	Out   FlowTraffic   `json:"out,omitzero"`
	First time.Time     `json:"first"` // when the first packet was counted
	Last  time.Time     `json:"last"`  // and the last
	Phase filter.Phase  `json:"phase,omitzero"`
	End   tstun.FlowEnd `json:"end,omitzero"`
	// Revoked: the rules in force do not allow the flow any longer.
	Revoked bool `json:"revoked,omitempty"`
	// Rule is the rule that let the flow in, or nil: the host began it, there is no policy
	// file, or another one is in force now.
	Rule *RulePlace `json:"rule,omitempty"`

	// What follows is of refused flows.

	Reason filter.Reason `json:"reason,omitzero"`
	// Nearest says in the policy's words which rule comes nearest to allowing the flow and
	// what it lacks. NearestRule is that rule, and Lacks are the parts of the flow that do
	// not match it; none, if it excepts the destination. Of very many refused flows, some
	// have none: FlowQuery says which.
	Nearest     string     `json:"nearest,omitempty"`
	NearestRule *RulePlace `json:"nearestRule,omitempty"`
	Lacks       []string   `json:"lacks,omitempty"`
	// AllowedNow is the rule in force that would allow the flow, if there is one by now.
	AllowedNow *RulePlace `json:"allowedNow,omitempty"`

	// Lost is how many records a FlowWatch lost before this one.
	Lost uint64 `json:"lost,omitempty"`
}

// FlowSide is a side of a Flow.
type FlowSide struct {
	Addr netip.Addr `json:"addr,omitzero"`
	Port uint16     `json:"port,omitempty"` // or 0 for protocols without ports
	// Name is what the policy or, where the address is a peer's only one, its peer is
	// called, or empty.
	Name string `json:"name,omitempty"`
}

// FlowTraffic is packets and bytes of whole IP packets.
type FlowTraffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// RulePlace is where a rule of the policy is.
type RulePlace struct {
	Index int `json:"index"` // among the policy's rules, from 0
	policy.Position
}

// String returns the form "rule 0, policy.hujson:4:3".
func (r *RulePlace) String() string { return fmt.Sprintf("rule %d, %v", r.Index, r.Position) }

// IsRefused reports whether the flow was refused.
func (f *Flow) IsRefused() bool { return f.Kind == FlowRefused || f.Kind == FlowForgotten }

// String returns who talks with whom: "tcp from laptop (10.9.0.2) to web:22 (10.9.0.1)".
func (f *Flow) String() string {
	if f.More {
		return "more from " + f.Src.text(0)
	}
	return fmt.Sprintf("%v from %s to %s", f.Proto, f.Src.text(0), f.Dst.text(f.Dst.Port))
}

// Short returns who talks with whom in few columns: "tcp laptop > web:80".
func (f *Flow) Short() string {
	if f.More {
		return "more of " + f.Src.short(0)
	}
	return fmt.Sprintf("%v %s > %s", f.Proto, f.Src.short(0), f.Dst.short(f.Dst.Port))
}

// State returns how far a flow is that passed: how it ended, that the rules in force do not
// allow it any longer, or its phase.
func (f *Flow) State() string {
	switch {
	case f.Kind == FlowEnded:
		return f.End.String()
	case f.Revoked:
		return "revoked"
	}
	return f.Phase.String()
}

// WhyRefused says why a flow was refused: what the nearest rule lacks, which rule would
// allow it by now, or what the reason means.
func (f *Flow) WhyRefused() string {
	switch {
	case f.Nearest != "":
		return f.Nearest
	case f.AllowedNow != nil:
		return fmt.Sprintf("%v, would allow it now", f.AllowedNow)
	}
	return f.Reason.Explain()
}

// Bytes returns what passed, both ways.
func (f *Flow) Bytes() uint64 { return f.In.Bytes + f.Out.Bytes }

// short returns the name of the side, or else its address, with a port, if that is not 0.
func (s FlowSide) short(port uint16) string {
	switch {
	case s.Name == "":
		return s.text(port)
	case port == 0:
		return s.Name
	}
	return fmt.Sprintf("%s:%d", s.Name, port)
}

// text returns the side with a port, if that is not 0.
func (s FlowSide) text(port uint16) string {
	at := s.Addr.String()
	if s.Name != "" {
		at = s.Name
	}
	if port != 0 && s.Name == "" {
		return netip.AddrPortFrom(s.Addr, port).String()
	}
	var b strings.Builder
	b.WriteString(at)
	if port != 0 {
		fmt.Fprintf(&b, ":%d", port)
	}
	if s.Name != "" {
		fmt.Fprintf(&b, " (%v)", s.Addr)
	}
	return b.String()
}
