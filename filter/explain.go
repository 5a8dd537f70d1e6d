package filter

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

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
	// Nearest is, if no rule allows the flow, the one that comes nearest. It is zero if
	// there is no rule for that source or that destination.
	Nearest Nearest
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
	if !e.Nearest.IsZero() {
		b.WriteString("\n" + e.Nearest.String())
	}
	return b.String()
}

// refusalFor returns the explanation of a packet that is dropped at a stage for r.
func refusalFor(r Reason, stage Stage) Explanation {
	return Explanation{Response: verdictFor(r).Response, Reason: r, Stage: stage, Rule: noRule, Text: r.Explain()}
}

// Explain says what happens to an inbound packet of proto from src to dst, and why. It
// is ExplainPacket of what comes in.
func (f *Filter) Explain(src, dst netip.AddrPort, proto ipproto.Proto) Explanation {
	return f.ExplainPacket(Inbound, src, dst, proto)
}

// ExplainNew says what happens to the first packet of a new flow of proto from src to
// dst, and why: what the rules say, whatever flows are open. Inbound, src is the peer's
// side and dst the host's; outbound it is the other way round, no rule is needed, and
// Answered says whether replies come in. The port of dst does not count for protocols
// without ports. Zones are ignored. What depends on the single packet is not considered:
// the flags Jailed and Exempt, and Config.LooseTCP. ExplainNew reads and changes no
// state.
func (f *Filter) ExplainNew(d Direction, src, dst netip.AddrPort, proto ipproto.Proto) Explanation {
	src, dst = withoutZone(src), withoutZone(dst)
	if d == Outbound {
		return f.explainNewOut(src.Addr(), dst.Addr(), proto)
	}
	return f.explainNewIn(src, dst, proto)
}

// ExplainPacket is ExplainNew for a packet that need not be the first of its flow: if a
// flow is open between the two at Now, or is revoked, the packet is one of that flow. Of
// such a packet it says who opened the flow, and not what the rules say of it. For pings
// the port of src is the identifier. ExplainPacket changes no state.
func (f *Filter) ExplainPacket(d Direction, src, dst netip.AddrPort, proto ipproto.Proto) Explanation {
	src, dst = withoutZone(src), withoutZone(dst)
	if f.mayContinue(d, src.Addr(), dst.Addr(), proto) {
		if e, ok := f.explainFlow(d, src, dst, proto); ok {
			return e
		}
	}
	return f.ExplainNew(d, src, dst, proto)
}

func withoutZone(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}

// mayContinue reports whether a packet with such a header is judged by its flow, if that
// is known.
func (f *Filter) mayContinue(d Direction, src, dst netip.Addr, proto ipproto.Proto) bool {
	if d == Outbound {
		return f.explainNewOut(src, dst, proto).Answered
	}
	r, _ := f.judgeHeader(src, dst, proto)
	return r == ReasonNone
}

// explainFlow explains a packet of the flow that the state has between src and dst. ok
// is false if it has none.
func (f *Filter) explainFlow(d Direction, src, dst netip.AddrPort, proto ipproto.Proto) (e Explanation, ok bool) {
	k := flowBetween(proto, dst, src, peerQueries)
	if d == Outbound {
		k = flowBetween(proto, src, dst, hostQueries)
	}
	c, st := f.peek(k, Now(), false)
	switch {
	case st == ctNew:
		return e, false
	case st != ctOpen && d == Inbound:
		return refusalFor(ReasonRevoked, StageFlow), true
	}
	e = Explanation{Response: Accept, Stage: StageFlow, Rule: noRule, Answered: d == Outbound}
	switch {
	case st != ctOpen: // the packet passes, its replies do not
		e.Text, e.Answered = textOutRevoked, false
	case c.has(peerInitiated):
		e.Text = "The packet belongs to an open flow, which the peer opened."
	case c.has(pickedUp):
		e.Text = "The packet belongs to an open flow, which the host goes on with; who opened it is not known."
	default:
		e.Text = "The packet belongs to an open flow, which the host opened."
	}
	return e, true
}
