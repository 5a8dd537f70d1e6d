package filter

import (
	"net/netip"

	"tstun/ipproto"
)

// Texts on what happens to replies to an outbound packet that passes.
const (
	textOut        = "The host opens this flow: it goes out, which needs no rule, and its answers come in."
	textOutAlone   = "It goes out, which needs no rule. It opens no flow: what comes in return is for the rules to allow."
	textOutTSMP    = "The filter lets it out, but a Wrapper drops TSMP that the host makes."
	textOutForeign = "It goes out, which needs no rule, but its source is not one of this node's addresses: answers to it do not come in."
	textOutRevoked = "It goes out, which needs no rule, but the rules now in force do not allow its flow, which is not known to be this node's: answers do not come in, unless it begins a new connection."
)

// ExplainOut says what happens to an outbound packet of proto from the host's src to
// the peer's dst, and why. Outbound packets need no rule. Answered says whether replies
// come in, and Text why not. If a flow is open between the two at Now, the packet is one
// of that flow; otherwise it starts one. For pings the port of src is the identifier.
// Zones are ignored. ExplainOut changes no state.
func (f *Filter) ExplainOut(src, dst netip.AddrPort, proto ipproto.Proto) Explanation {
	src, dst = withoutZone(src), withoutZone(dst)
	reason, stage := f.judgeEnds(src.Addr(), dst.Addr(), proto)
	e := Explanation{Reason: reason, Stage: stage, Rule: noRule, Text: reason.Explain(), NearestRule: noRule}
	if reason == ReasonNone {
		e.Stage = StageOut
		f.explainReplies(&e, src, dst, proto)
	}
	e.Response = verdictFor(e.Reason).Response
	return e
}

// explainReplies fills e in with what happens to replies to a packet that goes out.
func (f *Filter) explainReplies(e *Explanation, src, dst netip.AddrPort, proto ipproto.Proto) {
	switch {
	case proto == ipproto.TSMP:
		e.Text = textOutTSMP
	case dst.Addr().Unmap().IsMulticast():
		e.Text = textOutAlone
	case !f.isLocal(src.Addr()):
		e.Text = textOutForeign
	case f.explainOpen(e, flowBetween(proto, src, dst, hostQueries)):
		e.Answered = e.Reason == ReasonNone
		if !e.Answered {
			e.Reason, e.Text = ReasonNone, textOutRevoked // the packet passes, its replies do not
		}
	default:
		e.Text, e.Answered = textOut, true
	}
}
