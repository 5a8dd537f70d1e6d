package tunnel

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tstun/filter"
	"tstun/key"
	"tstun/policy"
)

// Explanation is what a flow meets on its way through a tunnel, as far as can be
// known at this end.
type Explanation struct {
	policy.Flow
	// SrcName and DstName are what the policy or the peers call the two, or empty.
	SrcName string `json:"srcName,omitempty"`
	DstName string `json:"dstName,omitempty"`
	// Direction is Inbound for a flow that a peer begins.
	Direction filter.Direction `json:"direction"`
	// Peer is the peer at the other end, by name or public key, or empty if no
	// peer has the address.
	Peer string `json:"peer,omitempty"`
	// PeerKey is that peer's public key, or zero.
	PeerKey key.Public `json:"peerKey,omitzero"`
	// Checks are in the order in which they are to be read: what is wrong first,
	// is to be set right first.
	Checks []Check `json:"checks"`
}

// Check is one thing that a flow needs.
type Check struct {
	Step Step `json:"step"`
	OK   bool `json:"ok"`
	// Code is what is wrong, for programs: the name of a filter.Reason at StepRules,
	// a code of the package comment elsewhere. It is empty if nothing is.
	Code string `json:"code,omitempty"`
	// Text is what is so, or what is wrong, in a sentence.
	Text string `json:"text"`
	// Evidence is what was seen that says so, or empty.
	Evidence string `json:"evidence,omitempty"`
	// Advice is the next step, or empty if nothing is wrong.
	Advice string `json:"advice,omitempty"`
}

// Step is what a Check is about.
type Step string

const (
	// StepRules: the policy lets the flow in, or out, and answers come in. Shields
	// and what the filter never lets through belong here, too.
	StepRules Step = "rules"
	// StepState: which flows between the two are open, and what was refused. It is
	// never wrong.
	StepState Step = "state"
	// StepAudit: what the second policy says of the flow, if there is one. It is never
	// wrong.
	StepAudit Step = "audit"
	// StepRoute: the host sends what is for the other side into the tunnel.
	StepRoute Step = "route"
	// StepPeer: a peer has the other side's address in its AllowedIPs.
	StepPeer Step = "peer"
	// StepHandshake: that peer answers.
	StepHandshake Step = "handshake"
	// StepMTU: the tunnel's longest packet fits the way to the peer's endpoint.
	StepMTU Step = "mtu"
	// StepDNS: the host asks for names through the tunnel, where it is meant to.
	StepDNS Step = "dns"
	// StepProgram: a program of the host's listens where a peer's flow goes.
	StepProgram Step = "program"
)

// Wrong returns the first Check that is not OK, or nil if all are.
func (e Explanation) Wrong() *Check {
	i := slices.IndexFunc(e.Checks, func(c Check) bool { return !c.OK })
	if i < 0 {
		return nil
	}
	return &e.Checks[i]
}

// Obstacle returns the first Check that is not OK and keeps even a short packet of the flow
// from its destination, or nil: an MTU or name servers that are wrong do not.
func (e Explanation) Obstacle() *Check {
	i := slices.IndexFunc(e.Checks, func(c Check) bool { return !c.OK && c.Step != StepMTU && c.Step != StepDNS })
	if i < 0 {
		return nil
	}
	return &e.Checks[i]
}

// String returns the flow, and below it each Check in a line.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v, %v", e.Flow, e.Direction)
	for _, c := range e.Checks {
		word := "ok"
		if !c.OK {
			word = c.Code
		}
		fmt.Fprintf(&b, "\n%s: %s: %s", c.Step, word, c.Text)
		for _, more := range []string{c.Evidence, c.Advice} {
			if more != "" {
				b.WriteString("; " + more)
			}
		}
	}
	return b.String()
}

// Explain says what a flow in direction d meets at this end: rules, state, routes,
// peer, handshake, MTU, name servers and who listens, and of each that is wrong the next
// step. What the other end does with the flow is known there alone: Trace tries it.
//
// The peer is asked for a handshake, unless the last one is younger than five seconds: keys
// alone do not say that it is still there. Its endpoint is sent one datagram of a byte and
// one as long as a full packet, which WireGuard ignores. Explain waits
// for about two seconds at most, and for names until ctx ends. A tunnel has no NAT
// and no jail.
func (t *Tunnel) Explain(ctx context.Context, d filter.Direction, f policy.Flow) Explanation {
	l := t.now()
	q := question{t: t, l: l, Flow: f, in: d == filter.Inbound}
	q.other, q.own = f.Dst.Addr(), f.Src
	if q.in {
		q.other, q.own = f.Src, f.Dst.Addr()
	}
	q.peer = l.peerOf(q.other)
	e := Explanation{Flow: f, Direction: d, SrcName: t.hostName(f.Src), DstName: t.hostName(f.Dst.Addr())}
	if q.peer != nil {
		e.Peer, e.PeerKey = t.called(q.peer), q.peer.PublicKey
	}
	e.Checks = append(e.Checks, q.rules(), q.state())
	e.Checks = append(e.Checks, q.audit()...)
	e.Checks = append(e.Checks, q.route(), q.whose())
	if q.peer != nil {
		e.Checks = append(e.Checks, q.handshake(ctx))
		e.Checks = append(e.Checks, q.mtu(ctx)...)
	}
	e.Checks = append(e.Checks, q.names()...)
	e.Checks = append(e.Checks, q.program()...)
	return e
}

// question is a flow that Explain is asked about.
type question struct {
	policy.Flow
	t          *Tunnel
	l          *live
	in         bool
	own, other netip.Addr // the host's side and the peer's
	peer       *Peer      // whose other is, or nil
}

// good returns a Check of what is as it should be.
func good(s Step, format string, args ...any) Check {
	return Check{Step: s, OK: true, Text: fmt.Sprintf(format, args...)}
}

// DirectionOf returns the direction of a flow by its addresses: Outbound if its
// source alone is the host's, or if its destination alone is a peer's, and otherwise
// Inbound. The host's are the tunnel's addresses and what the policy calls local.
func (t *Tunnel) DirectionOf(f policy.Flow) filter.Direction {
	l := t.now()
	src, dst := t.isOwn(l, f.Src), t.isOwn(l, f.Dst.Addr())
	if src == dst {
		src, dst = l.peerOf(f.Src) == nil, l.peerOf(f.Dst.Addr()) == nil
	}
	if src && !dst {
		return filter.Outbound
	}
	return filter.Inbound
}

// isOwn reports whether a is an address of the tunnel, or alone in a network that the
// policy calls local and that no peer has.
func (t *Tunnel) isOwn(l *live, a netip.Addr) bool {
	if slices.Contains(l.addrs(), a) {
		return true
	}
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	if t.policy == nil || l.peerOf(a) != nil {
		return false
	}
	return slices.ContainsFunc(t.policy.Config().Local, func(p netip.Prefix) bool { return p.Contains(a) })
}

// peerOf returns the peer that packets to an address go to, or nil: the one with the
// longest prefix.
func (c *Config) peerOf(a netip.Addr) (best *Peer) {
	longest := -1
	for i := range c.Peers {
		for _, p := range c.Peers[i].AllowedIPs {
			if p.Contains(a) && p.Bits() > longest {
				best, longest = &c.Peers[i], p.Bits()
			}
		}
	}
	return best
}
