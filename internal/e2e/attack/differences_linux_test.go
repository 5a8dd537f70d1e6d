package attack_test

import (
	"slices"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// difference is one that is intended.
type difference struct {
	name, why string
	applies   func(s *step) bool
	// parts: the state of the flow may differ from then on.
	parts bool
}

// differences are all that there may be between the filter and the kernel's
// connection tracking. The first that applies to a packet counts.
var differences = []difference{
	{
		name: "form",
		why: "The filter drops, both ways, what has a broken transport header; " +
			"to the kernel it is invalid, which its rules need not care for.",
		applies: func(s *step) bool {
			return s.defect != "" && s.reason == filter.ReasonTruncated && s.kernel.accepted && s.kernel.state == ctInvalid
		},
	},
	{
		name: "routing header",
		why:  "With a hop left to visit, a packet is for another destination than it says. The kernel's rules read on.",
		applies: func(s *step) bool {
			return s.reason == filter.ReasonExtensionHeaders && s.kernel.accepted
		},
		parts: true,
	},
	{
		name: "segment with a source route or broken options",
		why:  "Both drop it, but the kernel's connection tracking has already taken its flags into account.",
		applies: func(s *step) bool {
			return s.reason == filter.ReasonIPOptions && s.kernel.state == ctNone && s.isTCP()
		},
		parts: true,
	},
	{
		name: "source route that is used up",
		why:  "No router looks at one any more, and the filter lets it pass. The kernel forwards no packet with one, used up or not.",
		applies: func(s *step) bool {
			return s.defect == usedUp && s.ours && s.kernel.state == ctNone
		},
		parts: true,
	},
	{
		name: "odd flags",
		why: "The kernel calls segments with impossible flags invalid. The filter leaves that to the end system, " +
			"which drops them, if they belong to an open flow; they never open one for a peer.",
		applies: func(s *step) bool {
			return s.isTCP() && isOdd(s.flags) && s.kernel.state == ctInvalid && s.ours
		},
		parts: true,
	},
	{
		name: "host's FIN in mid-stream",
		why: "The filter goes on with a connection that it does not know if the host does, so that connections survive " +
			"a restart. The kernel does that for an ACK only, not for the FIN of a connection that is closing.",
		applies: func(s *step) bool {
			return s.out && s.flags == finAck && s.kernel.state == ctInvalid && s.isTCP()
		},
		parts: true,
	},
	{
		name: "host's SYN-ACK",
		why: "It tells the filter that the peer opened the connection, which is for the rules to allow, " +
			"or that the peer's SYN was accepted after a reset. To the kernel it is invalid where it saw no SYN.",
		applies: func(s *step) bool {
			return s.out && s.flags == synAck && s.kernel.state == ctInvalid && s.isTCP()
		},
		parts: true,
	},
	{
		name: "host's SYN in the peer's connection",
		why: "It begins a connection of the host's, also if the rules have been replaced since the peer's SYN. The kernel holds on " +
			"to the peer's connection: to it the SYN is invalid, or half of a simultaneous open.",
		applies: func(s *step) bool {
			return s.out && isSyn(s.flags) && s.isTCP() &&
				(s.kernel.state == ctInvalid || s.kernel.state == ctEstablished && s.kernel.reply)
		},
		parts: true,
	},
	{
		name: "host's SYN in a connection from before",
		why: "Whether a connection that the filter found in mid-stream, or that the host granted, is the host's, it does not " +
			"know. The host's SYN begins one that surely is, in its place; the kernel took the old one for the host's all along and ignores the SYN.",
		applies: func(s *step) bool {
			return s.out && isSyn(s.flags) && s.isTCP() && (s.foundMidStream() || s.granted())
		},
		parts: true,
	},
	{
		name: "new rules and a connection from before",
		why: "Who opened a connection that the filter found in mid-stream is not known, so new rules that do not allow " +
			"the peer to open it cut it, and shortly after a start it is not picked up if earlier rules allowed that. The kernel took it for the host's.",
		applies: func(s *step) bool {
			return (s.reason == filter.ReasonRevoked || s.reason == filter.ReasonNoRule && !s.policyAllows()) &&
				s.foundMidStream() && s.kernel.state == ctEstablished && s.kernel.reply
		},
		parts: true,
	},
	{
		name: "new rules and a flow of the host's that the old ones let the peer open",
		why: "Without a SYN nobody can tell whether the host begins or answers late what was forgotten, so the filter takes what a rule " +
			"lets the peer open for the peer's, and does not open it for the host shortly after that rule is gone. The kernel takes it for the host's.",
		applies: func(s *step) bool {
			return !s.out && !s.isTCP() && s.kind != isPong && s.kernel.state == ctEstablished && s.kernel.reply && s.hostSpoke() &&
				(s.reason == filter.ReasonRevoked || s.reason == filter.ReasonNoRule) && !s.policyAllows()
		},
		parts: true,
	},
	{
		name: "new rules and a connection that the host granted",
		why: "A rule let a SYN of the peer's into the host's connection, and the host answered it with a SYN-ACK: that grants the " +
			"peer's, so new rules that do not allow it cut it. The kernel holds it for a simultaneous open, the host's.",
		applies: func(s *step) bool {
			return s.reason == filter.ReasonRevoked && s.kernel.state == ctEstablished && s.kernel.reply && !s.out && s.isTCP() &&
				s.granted()
		},
		parts: true,
	},
	{
		name: "refused attempt",
		why: "The kernel forgets a connection that is reset before it was answered. The filter lets it be, in doubt, " +
			"until its time is over or the host goes on, since anybody could have sent a peer's reset.",
		applies: func(s *step) bool {
			return s.isTCP() && s.flags&rst != 0 && s.kernel.state != ctInvalid &&
				s.kernel.state != ctNone && !s.peerAnswered()
		},
		parts: true,
	},
	{
		name: "invalid segment that a rule allows",
		why: "A rule allows every segment to its port, in mid-stream too, and the filter remembers the flow. " +
			"The kernel's rules let it pass too, but it remembers no flow that began with what is invalid.",
		applies: func(s *step) bool {
			return !s.out && s.isTCP() && s.ours && s.kernel.accepted && s.kernel.state == ctInvalid && s.policyAllows()
		},
		parts: true,
	},
	{
		name: "host's SYN after the end",
		why: "After a reset, or the FINs of both sides, the host's SYN begins a connection. " +
			"The kernel may hold on to the old one, wait for more of its end, and ignore the SYN.",
		applies: func(s *step) bool {
			return s.out && s.isTCP() && isSyn(s.flags) && s.kernel.state == ctEstablished &&
				s.since(func(p *step) bool { return p.ours && p.flags&(rst|fin) != 0 })
		},
		parts: true,
	},
	{
		name: "peer's SYN after the end",
		why: "The kernel forgets a connection that is over for any SYN, even one that it then refuses. " +
			"In the filter, a refused packet changes nothing.",
		applies: func(s *step) bool {
			return !s.out && s.isTCP() && isSyn(s.flags) && s.reason == filter.ReasonNoRule && s.kernel.state == ctNew &&
				s.since(func(p *step) bool { return p.ours })
		},
		parts: true,
	},
	{
		name: "peer's SYN in the host's connection",
		why: "A peer's SYN that a rule allows does not end a connection of the host's, which may be alive: the host knows, and " +
			"its SYN-ACK makes the connection the peer's. The kernel forgets one that it thinks is over, and takes the SYN for the next.",
		applies: func(s *step) bool {
			return !s.out && s.isTCP() && isSyn(s.flags) && s.ours && s.kernel.state == ctNew && s.hostSpoke()
		},
		parts: true,
	},
	{
		name: "peer's second SYN",
		why: "A SYN of the host's can be answered by a SYN (simultaneous open), also repeated, until the peer has sent anything else; " +
			"the rest of the handshake needs no other. The kernel lets any number pass until the SYN-ACK.",
		applies: func(s *step) bool {
			return !s.out && isSyn(s.flags) && s.reason == filter.ReasonNoRule && s.kernel.state == ctEstablished && s.kernel.reply
		},
	},
	{
		name: "peer's segment in a state that has no place for it",
		why: "Without sequence numbers, what the peer sends proves nothing, so the filter lets every segment of an open " +
			"connection but SYN pass to the host, who knows. To the kernel a FIN before the handshake or a SYN-ACK after a reset is invalid, " +
			"and so is the SYN of a simultaneous open, and its repetition, if the host has sent more than its SYN.",
		applies: func(s *step) bool {
			return !s.out && s.isTCP() && s.ours && s.kernel.state == ctInvalid && s.hostSpoke() &&
				(s.flags&ack != 0 || isSyn(s.flags) && !s.peerSpoke())
		},
		parts: true,
	},
	{
		name: "short quote",
		why:  "An ICMP error quotes at least eight bytes of the transport header (RFC 792, RFC 4443). The kernel is content with the ports.",
		applies: func(s *step) bool {
			return s.odd == quoteTooShort && s.reason == filter.ReasonNoFlow && s.kernel.state == ctRelated
		},
	},
	{
		name: "quench and redirect",
		why:  "Nobody may act on a source quench (RFC 6633), and a redirect is for one link. The kernel takes them for errors.",
		applies: func(s *step) bool {
			return s.kind == isError && s.talk.host.Addr().Is4() && (s.icmp == 4 || s.icmp == 5) &&
				s.reason == filter.ReasonNoFlow && s.kernel.state == ctRelated
		},
	},
	{
		name: "code of a ping",
		why:  "RFC 792 knows no code but 0 for an echo. The filter does not look, the kernel compares that of answer and question.",
		applies: func(s *step) bool {
			return s.kind == isPing && s.odd == otherCode && s.ours
		},
		parts: true,
	},
	{
		name: "code of a pong",
		why:  "As for the code of a ping.",
		applies: func(s *step) bool {
			return s.kind == isPong && s.odd == otherCode && s.ours && s.kernel.state == ctInvalid
		},
	},
	{
		name: "revoked stays revoked",
		why: "What new rules have cut stays cut when later ones say Keep, unless they allow it. " +
			"The kernel has no memory of rules and goes on with it.",
		applies: func(s *step) bool {
			return !s.out && s.reason == filter.ReasonRevoked &&
				policies[s.policy].keep && s.kernel.state == ctEstablished && !s.kernel.reply
		},
	},
	{
		name: "Keep and a SYN",
		why: "Keep keeps connections, it does not let the peer begin another between the same ports when one is over or was cut. " +
			"To the kernel the SYN is of the old one.",
		applies: func(s *step) bool {
			return !s.out && s.isTCP() && isSyn(s.flags) && s.reason == filter.ReasonNoRule &&
				policies[s.policy].keep && s.kernel.state == ctEstablished && !s.kernel.reply
		},
	},
	{
		name: "Keep and what was not answered",
		why: "Keep keeps every flow that the peer opened. To the kernel a flow without an answer is still new, " +
			"and for the rules, or invalid if it goes on in spite of that.",
		applies: func(s *step) bool {
			return !s.out && s.ours && policies[s.policy].keep && s.wasAccepted() &&
				(s.kernel.state == ctNew || s.kernel.state == ctInvalid && s.isTCP() && !s.hostSpoke())
		},
	},
	{
		name: "error about a flow that was cut",
		why: "When the rules no longer allow the peer's flow, errors about it have no flow, nor have those about a connection that " +
			"was not picked up. The kernel still has its entry.",
		applies: func(s *step) bool {
			return s.kind == isError && s.reason == filter.ReasonNoFlow && s.kernel.state == ctRelated && (!s.policyAllows() || s.foundMidStream())
		},
	},
}

// isOdd reports whether no TCP sends segments with these flags.
func isOdd(f packet.TCPFlag) bool {
	f &^= psh | packet.TCPECNEcho | packet.TCPCWR
	return !slices.Contains([]packet.TCPFlag{syn, syn | urg, synAck, rst, rstAck, finAck, finAck | urg, ack, ack | urg}, f)
}

// isSyn reports whether the flags ask for a connection and are not odd.
func isSyn(f packet.TCPFlag) bool { return f&^(urg|packet.TCPECNEcho|packet.TCPCWR) == syn }

// hostSpoke reports whether the host has sent a packet of the talk that may
// have opened a flow.
func (s *step) hostSpoke() bool {
	return slices.ContainsFunc(s.talk.past, func(p *step) bool {
		return p.out && p.ours && p.flags&rst == 0 && p.kind <= isPing
	})
}

// peerAnswered reports whether both sides have sent segments in the connection
// of s that the kernel knows.
func (s *step) peerAnswered() bool {
	return s.since(func(p *step) bool { return p.out && p.kernel.accepted }) &&
		s.since(func(p *step) bool { return !p.out && p.kernel.accepted })
}

// peerSpoke reports whether the peer has sent more than SYNs in the connection of
// s.
func (s *step) peerSpoke() bool {
	return s.since(func(p *step) bool { return !p.out && p.ours && !isSyn(p.flags) })
}

// since reports whether there was a TCP segment like that since the kernel's
// connection began.
func (s *step) since(like func(p *step) bool) bool {
	for _, p := range slices.Backward(s.talk.past) {
		if p.isTCP() && p.kernel.state != ctInvalid && like(p) {
			return true
		}
		if p.isTCP() && p.kernel.state == ctNew {
			return false
		}
	}
	return false
}

// granted reports whether the host sent a SYN-ACK since the kernel's connection
// began.
func (s *step) granted() bool {
	return s.since(func(p *step) bool { return p.out && p.flags == synAck && p.ours })
}

// foundMidStream reports whether the connection of s was open before its
// first segment came by.
func (s *step) foundMidStream() bool {
	isOut := func(p *step) bool { return p.out && p.ours && p.isTCP() && p.flags&rst == 0 }
	i := slices.IndexFunc(s.talk.past, isOut)
	return i >= 0 && s.talk.past[i].flags&syn == 0 && !slices.ContainsFunc(s.talk.past[i:], func(p *step) bool {
		return isOut(p) && p.flags&synAck == syn
	})
}

// wasAccepted reports whether a packet like s was let in before.
func (s *step) wasAccepted() bool {
	return slices.ContainsFunc(s.talk.past, func(p *step) bool { return !p.out && p.ours && p.kind == s.kind })
}

// policyAllows reports whether the rules in force let the peer open the talk
// of s. It shares nothing with package filter.
func (s *step) policyAllows() bool {
	p, host := policies[s.policy], s.talk.host
	if host.Addr() != host4 && host.Addr() != host6 {
		return false
	}
	switch s.talk.proto {
	case ipproto.TCP:
		return slices.Contains(p.tcp, host.Port())
	case ipproto.UDP:
		return slices.Contains(p.udp, host.Port())
	case protoESP:
		return p.esp
	}
	return p.icmp
}

// unjustified says why nothing entitles the accepted inbound packet s to come
// in, whatever state filter and kernel hold: "" if something does.
func (s *step) unjustified() string {
	switch {
	case s.out || !s.ours || s.policyAllows() && s.kind != isPong && s.kind != isError:
		return ""
	case s.talk.host.Addr() != host4 && s.talk.host.Addr() != host6:
		return "it is for somebody else"
	case s.kind == isInfo && !s.policyAllows():
		return "no rule allows it, and it has no flow"
	case s.hostSpoke() || s.kind == isError && s.wasOpened():
		return ""
	case policies[s.policy].keep && s.wasAccepted():
		return ""
	}
	return "no rule allows it, and the host has not spoken"
}

// wasOpened reports whether the peer was let in before.
func (s *step) wasOpened() bool {
	return slices.ContainsFunc(s.talk.past, func(p *step) bool { return !p.out && p.ours && p.kind <= isPing })
}

// differenceOf returns the first listed difference that applies to s, or nil.
func differenceOf(s *step) *difference {
	agree := s.ours == s.kernel.accepted
	for i := range differences {
		if (!agree || differences[i].parts) && differences[i].applies(s) {
			return &differences[i]
		}
	}
	return nil
}
