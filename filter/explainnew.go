package filter

import (
	"net/netip"

	"tstun/flow"
	"tstun/ipproto"
)

// This file judges new flows by addresses and rules alone.

// Check returns what happens to a packet that starts a flow of proto from the peer src
// to dst and dstPort, which does not count for protocols without ports. Zones are
// ignored. Check reads and changes no state. It takes src and dst for two hosts' also
// where they are equal; In drops such a packet.
func (f *Filter) Check(src, dst netip.Addr, dstPort uint16, proto ipproto.Proto) Response {
	src, dst = src.WithZone(""), dst.WithZone("")
	r, _ := f.judgeAddrs(src, dst, proto)
	if r == ReasonNone {
		r = f.judgeNew(proto, src, dst, dstPort)
	}
	return verdictFor(r).Response
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

// judgeAddrs returns why an inbound packet is dropped for its form or one of its
// addresses, or ReasonNone, and the stage that decided.
func (f *Filter) judgeAddrs(src, dst netip.Addr, proto ipproto.Proto) (Reason, Stage) {
	if r, stage := f.judgeEnds(src, dst, proto); r != ReasonNone {
		return r, stage
	}
	if !f.isLocal(dst) {
		return ReasonNotLocal, StageLocal
	}
	return ReasonNone, StageLocal
}

// judgeHeader is judgeAddrs, and drops what claims to come from its own destination, as
// headerReason does.
func (f *Filter) judgeHeader(src, dst netip.Addr, proto ipproto.Proto) (Reason, Stage) {
	r, stage := f.judgeAddrs(src, dst, proto)
	if stage == StageLocal && isSameHost(src, dst) {
		return ReasonMartian, StageAddress
	}
	return r, stage
}

// judgeFirst returns why an inbound packet that starts a flow is dropped, or ReasonNone,
// and the stage that decided.
func (f *Filter) judgeFirst(src, dst netip.Addr, port uint16, proto ipproto.Proto) (Reason, Stage) {
	if r, stage := f.judgeHeader(src, dst, proto); r != ReasonNone {
		return r, stage
	}
	r := f.judgeNew(proto, src, dst, port)
	if r == ReasonShieldsUp {
		return r, StageShields
	}
	return r, StageRules
}

// judgeFlow returns why f would not let the first packet of the flow k pass, or
// ReasonNone: what ExplainNew says. What the host begins needs no rule.
func (f *Filter) judgeFlow(d Direction, k flow.Key) (r Reason) {
	host, peer := k.Host(), k.Peer()
	if d == Inbound {
		r, _ = f.judgeFirst(peer.Addr(), host.Addr(), host.Port(), k.Proto())
	} else {
		r, _ = f.judgeEnds(host.Addr(), peer.Addr(), k.Proto())
	}
	return r
}

// explainNewIn explains the first packet of a flow from the peer src to dst.
func (f *Filter) explainNewIn(src, dst netip.AddrPort, proto ipproto.Proto) Explanation {
	r, stage := f.judgeFirst(src.Addr(), dst.Addr(), dst.Port(), proto)
	if r != ReasonNone {
		e := refusalFor(r, stage)
		if r == ReasonNoRule {
			e.Nearest, _ = f.Nearest(src, dst, proto)
		}
		return e
	}
	rule := f.rules.match(proto, src.Addr().Unmap(), dst.Addr().Unmap(), dst.Port())
	return Explanation{Response: Accept, Stage: stage, Rule: rule, Text: f.rules[rule].String()}
}

// Texts on what happens to replies to an outbound packet that passes.
const (
	textOut        = "The host opens this flow: it goes out, which needs no rule, and its answers come in."
	textOutAlone   = "It goes out, which needs no rule. It opens no flow: what comes in return is for the rules to allow."
	textOutTSMP    = "The filter lets it out, but a Wrapper drops TSMP that the host makes."
	textOutForeign = "It goes out, which needs no rule, but its source is not one of this node's addresses: answers to it do not come in."
	textOutRevoked = "It goes out, which needs no rule, but the rules now in force do not allow its flow, which is not known to be this node's: answers do not come in, unless it begins a new connection."
)

// explainNewOut explains the first packet of a flow from the host's src to dst. Answered
// says whether replies come in, and Text why not.
func (f *Filter) explainNewOut(src, dst netip.Addr, proto ipproto.Proto) Explanation {
	if r, stage := f.judgeEnds(src, dst, proto); r != ReasonNone {
		return refusalFor(r, stage)
	}
	e := Explanation{Response: Accept, Stage: StageOut, Rule: noRule}
	switch {
	case proto == ipproto.TSMP:
		e.Text = textOutTSMP
	case dst.Unmap().IsMulticast():
		e.Text = textOutAlone
	case !f.isLocal(src):
		e.Text = textOutForeign
	default:
		e.Text, e.Answered = textOut, true
	}
	return e
}
