package tunnel

import (
	"fmt"
	"time"

	"tstun/ipproto"
	"tstun/packet"
)

// result returns what came, in words.
func (p *probing) result(s sighting, presence Presence, took time.Duration) *Probe {
	r := &Probe{Outcome: s.outcome, Code: s.code, Presence: presence, Source: p.src, Seconds: took.Seconds()}
	ms := fmt.Sprintf("%.1f ms", took.Seconds()*1000)
	switch s.outcome {
	case OutcomeAnswered:
		r.Text = fmt.Sprintf("%s answered the %s in %s", p.answerer(), p.what(), ms)
	case OutcomeClosed:
		r.Text = fmt.Sprintf("the host at %v answered in %s that no program listens at port %d", p.Dst.Addr(), ms, p.Dst.Port())
		r.Advice = "start the program there, or have it listen at that address; a firewall that refuses may answer so, too"
	case OutcomeRejected:
		r.Text, r.Advice = p.rejected(s, ms)
	case OutcomeUnreachable:
		r.Text = fmt.Sprintf("%v said in %s that the %s gets no further: %s", s.from, ms, p.what(), s.code)
		r.Advice = fmt.Sprintf("look at the routes of %v, and whether %v is up", s.from, p.Dst.Addr())
	case OutcomeAnswerRefused:
		r.Text = fmt.Sprintf("an answer came in %s, and this end refused it: %s", ms, s.code)
		r.Advice = "tstun flows --dropped shows what is refused here"
	default:
		r.Text = fmt.Sprintf("nothing answered the %s in %.1f s; %s", p.what(), took.Seconds(), p.presence(presence))
		r.MayBe = p.mayBe(presence)
		r.Advice = p.silenceAdvice(presence)
	}
	return r
}

// what returns what the first packet is.
func (p *probing) what() string {
	switch p.Proto {
	case ipproto.TCP:
		return "SYN"
	case ipproto.UDP:
		return "datagram"
	}
	return "ping"
}

func (p *probing) answerer() string {
	if p.Proto.IsICMP() {
		return fmt.Sprintf("the host at %v", p.Dst.Addr())
	}
	return fmt.Sprintf("a program at %v", p.Dst)
}

func (p *probing) rejected(s sighting, ms string) (text, advice string) {
	switch s.code {
	case packet.RejectedByRules.String():
		return fmt.Sprintf("%s refuses it by its rules, as it said in %s", p.peer, ms),
			"have a rule added there: tstun explain there says which rule comes nearest"
	case packet.RejectedShieldsUp.String():
		return fmt.Sprintf("%s lets nobody in (shields up), as it said in %s", p.peer, ms), "have the shields taken down there"
	case packet.RejectedIPForwarding.String():
		return fmt.Sprintf("%s does not forward to %v, as it said in %s", p.peer, p.Dst.Addr(), ms), "have IP forwarding turned on there"
	case packet.RejectedHostFirewall.String():
		return fmt.Sprintf("the firewall of %s refuses it, as it said in %s", p.peer, ms), "have it let through by the firewall there"
	}
	return fmt.Sprintf("%v refuses it, as it said in %s: %s", s.from, ms, s.code), "have it allowed by the policy or firewall there"
}

func (p *probing) presence(known Presence) string {
	switch known {
	case PresencePong:
		return p.peer + " is there and answers TSMP pings"
	case PresenceNoTSMP:
		return fmt.Sprintf("the host at %v is there and does not speak TSMP, as with plain WireGuard", p.Dst.Addr())
	}
	return "nor a TSMP ping, as of a plain WireGuard peer that says nothing"
}

// mayBe returns what silence can mean.
func (p *probing) mayBe(known Presence) (reasons []string) {
	if p.Proto == ipproto.UDP {
		reasons = append(reasons, "a program took it, and has no answer to an empty datagram")
	}
	if known != PresenceNoTSMP {
		reasons = append(reasons, p.peer+" refuses it by its policy and does not say so (tstun up --reject none)")
	}
	reasons = append(reasons, fmt.Sprintf("a firewall at %v, or on the way behind %s, drops it or its answer", p.Dst.Addr(), p.peer))
	if p.Proto == ipproto.TCP {
		reasons = append(reasons, "as many connections wait for the program as it lets wait")
	}
	if known == "" {
		reasons = append(reasons,
			fmt.Sprintf("%s does not have %v in the AllowedIPs of this side, and WireGuard drops it there", p.peer, p.Src),
			fmt.Sprintf("no host has the address %v, or %s does not forward to it", p.Dst.Addr(), p.peer),
			fmt.Sprintf("%s went away after its latest handshake", p.peer))
	}
	return reasons
}

func (p *probing) silenceAdvice(known Presence) string {
	if known == PresenceNoTSMP {
		return "look at the firewall there"
	}
	return "tstun explain, or tstun status, at " + p.peer + " knows more; so does tstun trace --peer, where its control socket can be reached"
}
