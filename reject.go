package tstun

import (
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// Reject says what a peer hears of a packet that the main filter refuses for
// policy's sake: no rule, shields up, jail, or a flow that was revoked.
type Reject uint8

const (
	// RejectNone lets the peer hear nothing: it runs into a timeout.
	RejectNone Reject = iota
	// RejectTSMP sends a TSMP rejection, with the reason, for a TCP SYN or a
	// UDP packet. The peer's Wrapper shows it to PreFilterIn.
	RejectTSMP
	// RejectReset answers like a host with a firewall: TCP with a reset, all
	// else with ICMP "administratively prohibited".
	RejectReset
)

const (
	// answerRate and answerBurst limit the Wrapper's own answers, as RFC 4443
	// §2.4(f) asks for: answers per second, and at once.
	answerRate  = 1000
	answerBurst = 1024
)

// SetReject sets how refusals are answered from the next batch on. At most
// 1,000 answers a second are made, those to TSMP pings among them. They go
// through the injection queue, of which they fill at most half; those beyond
// it are left out and counted as queue-full.
func (w *Wrapper) SetReject(r Reject) {
	w.update(func(c *config) { c.reject = r })
}

// refusal returns the packet that tells p's sender of the refusal, or nil.
func refusal(mode Reject, p *packet.Parsed, why filter.Reason) []byte {
	switch why {
	case filter.ReasonNoRule, filter.ReasonShieldsUp, filter.ReasonJailed, filter.ReasonRevoked:
	default:
		return nil // not a matter of policy
	}
	switch mode {
	case RejectTSMP:
		return tsmpRefusal(p, why)
	case RejectReset:
		if p.IPProto == ipproto.TCP {
			b, _ := p.TCPReset()
			return b
		}
		b, _ := p.AdminProhibited()
		return b
	default:
		return nil
	}
}

func tsmpRefusal(p *packet.Parsed, why filter.Reason) []byte {
	if !p.IsTCPSyn() && p.IPProto != ipproto.UDP {
		return nil
	}
	reason := packet.RejectedByRules
	if why == filter.ReasonShieldsUp {
		reason = packet.RejectedShieldsUp
	}
	return packet.Generate(packet.TSMPRejected{Src: p.Src, Dst: p.Dst, Proto: p.IPProto, Reason: reason}, nil)
}

// answer sends a packet that a peer's packet provoked, within the limits of
// such answers.
func (w *Wrapper) answer(reply []byte) {
	if w.answers.Allow() {
		// A full queue has counted it, and nobody waits for it.
		_ = w.inject(injection{data: reply}, answersQueued)
	}
}
