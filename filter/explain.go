package filter

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"tstun/flow"
	"tstun/ipproto"
)

// Stage is a step of the judgement. The zero value is StageForm.
type Stage uint8

// Stages, in the order in which they judge.
const (
	StageForm    Stage = iota // no packet has such addresses or such a protocol
	StageAddress              // an address is multicast, martian or the like
	StageLocal                // the destination is not local
	StageFlow                 // a flow is open, or revoked
	StageShields              // shields are up
	StageRules                // a rule allows it, or none does
	StageOut                  // the packet goes out, which needs no rule
	// Of single packets only, which Explain does not judge:
	StageFragment // a fragment that is wrong, or whose first is not known or was dropped
	StageWrapper  // around the filter: no filter, a hook, a queue, the device
)

var stageNames = [...]string{"form", "address", "local", "flow", "shields", "rules", "out", "fragment", "wrapper"}

// String returns the stage's name, such as "rules".
func (s Stage) String() string {
	if int(s) >= len(stageNames) {
		return "stage-" + strconv.Itoa(int(s))
	}
	return stageNames[s]
}

// MarshalText returns String's form.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Explanation is a verdict with its grounds.
type Explanation struct {
	Response Response
	Reason   Reason
	// Stage is the step that decided.
	Stage Stage
	// Rule is the index of the rule that allows the flow, or -1.
	Rule int
	// Text is that rule, or else the grounds, as text.
	Text string
	// Nearest says, if no rule allows the flow, which rule comes nearest and
	// what it lacks. Empty if there is no rule for that source or that
	// destination.
	Nearest string
	// NearestRule is the index of the rule that Nearest tells of, or -1.
	NearestRule int
	// Lacks is in which respects that rule does not allow the flow.
	Lacks Lack
	// Answered reports, of an outbound packet that passes, whether answers to
	// it come in. It is false for inbound packets.
	Answered bool
}

// String returns the explanation in one or two lines.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v (%v): ", e.Response, e.Stage)
	if e.Rule >= 0 {
		fmt.Fprintf(&b, "rule %d: ", e.Rule)
	}
	b.WriteString(e.Text)
	if e.Nearest != "" {
		b.WriteString("\n" + e.Nearest)
	}
	return b.String()
}

// Check returns what happens to a packet that starts a flow of proto from the peer src
// to dst and dstPort, which does not count for protocols without ports. Zones are
// ignored. Check reads and changes no state. It takes src and dst for two hosts' also
// where they are equal; In drops such a packet.
func (f *Filter) Check(src, dst netip.Addr, dstPort uint16, proto ipproto.Proto) Response {
	reason, _ := f.judgeStateless(src.WithZone(""), dst.WithZone(""), dstPort, proto)
	return verdictFor(reason).Response
}

// Explain says what happens to an inbound packet of proto from src to dst, and why. If
// a flow is open between the two at Now, the packet is one of that flow; otherwise it
// starts one. For pings the port of src is the identifier. Zones are ignored. Explain
// changes no state.
func (f *Filter) Explain(src, dst netip.AddrPort, proto ipproto.Proto) Explanation {
	src, dst = withoutZone(src), withoutZone(dst)
	reason, stage := f.judgeStateless(src.Addr(), dst.Addr(), dst.Port(), proto)
	if stage > StageAddress && isSameHost(src.Addr(), dst.Addr()) {
		reason, stage = ReasonMartian, StageAddress
	}
	e := Explanation{Reason: reason, Stage: stage, Rule: noRule, Text: reason.Explain(), NearestRule: noRule}
	if stage > StageLocal && !f.explainFlow(&e, src, dst, proto) {
		f.explainRules(&e, src.Addr(), dst, proto)
	}
	e.Response = verdictFor(e.Reason).Response
	return e
}

func withoutZone(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}

// judgeEnds returns why a packet in either direction is dropped for its form or its
// addresses, or ReasonNone, and the stage that decided.
func (f *Filter) judgeEnds(src, dst netip.Addr, proto ipproto.Proto) (Reason, Stage) {
	if !src.IsValid() || !dst.IsValid() || src.Is4() != dst.Is4() ||
		proto == ipproto.Unknown || proto == ipproto.Fragment {
		return ReasonMalformed, StageForm
	}
	return f.permit.addressReason(src, dst), StageAddress
}

// judgeStateless returns why an inbound packet that starts a flow is dropped, or
// ReasonNone, and the stage that decided.
func (f *Filter) judgeStateless(src, dst netip.Addr, port uint16, proto ipproto.Proto) (Reason, Stage) {
	if r, stage := f.judgeEnds(src, dst, proto); r != ReasonNone {
		return r, stage
	}
	if !f.isLocal(dst) {
		return ReasonNotLocal, StageLocal
	}
	switch r := f.judgeNew(proto, src, dst, port); r {
	case ReasonShieldsUp:
		return r, StageShields
	default:
		return r, StageRules
	}
}

// explainFlow fills e in if a flow is known between src and dst, and reports whether it
// is.
func (f *Filter) explainFlow(e *Explanation, src, dst netip.AddrPort, proto ipproto.Proto) bool {
	if !f.explainOpen(e, flowBetween(proto, dst, src, peerQueries)) {
		return false
	}
	if e.Reason == ReasonRevoked {
		e.Text = ReasonRevoked.Explain()
	}
	return true
}

// explainOpen fills e in if the state has the flow k, and reports whether it has. If the
// flow's packets do not come in, that is ReasonRevoked, and e.Text is left as it is.
func (f *Filter) explainOpen(e *Explanation, k flow.Key) bool {
	c, st := f.peek(k, Now(), false)
	if st == ctNew {
		return false
	}
	e.Stage = StageFlow
	if st != ctOpen {
		e.Reason = ReasonRevoked
		return true
	}
	e.Reason, e.Text = ReasonNone, "The packet belongs to an open flow, which the host opened."
	switch {
	case c.has(peerInitiated):
		e.Text = "The packet belongs to an open flow, which the peer opened."
	case c.has(pickedUp):
		e.Text = "The packet belongs to an open flow, which the host goes on with; who opened it is not known."
	}
	return true
}

// explainRules fills e in with what the rules say, if they decided.
func (f *Filter) explainRules(e *Explanation, src netip.Addr, dst netip.AddrPort, proto ipproto.Proto) {
	if e.Stage != StageRules {
		return
	}
	if e.Reason != ReasonNone {
		f.explainNearest(e, src.Unmap(), netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port()), proto)
		return
	}
	e.Rule = f.rules.match(proto, src.Unmap(), dst.Addr().Unmap(), dst.Port())
	e.Text = f.rules[e.Rule].String()
}
