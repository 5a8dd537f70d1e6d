package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/policy"
)

// Trace is what became of a flow that was tried.
type Trace struct {
	// Explanation is what the flow meets at this end.
	Explanation
	// Probe is what came of a packet of the flow, or nil where this end has an Obstacle:
	// none was sent then.
	Probe *Probe `json:"probe,omitempty"`
}

// Probe is what came of a packet that was sent through the tunnel.
type Probe struct {
	Outcome Outcome `json:"outcome"`
	// Code is why, for programs: of OutcomeRejected and OutcomeUnreachable the reason that
	// came, in words of packet.TSMPRejectReason or of ICMP, of OutcomeAnswerRefused the
	// name of a filter.Reason. It is empty elsewhere.
	Code string `json:"code,omitempty"`
	// Text is what came, in a sentence.
	Text string `json:"text"`
	// Advice is the next step, or empty if a program answered.
	Advice string `json:"advice,omitempty"`
	// MayBe are the reasons that OutcomeSilent can have, as far as they are not ruled out.
	MayBe []string `json:"mayBe,omitempty"`
	// Presence is what is known of the other end beside the flow, or empty.
	Presence Presence `json:"presence,omitempty"`
	// Source is where the packet came from. Of a ping, the port is the identifier.
	Source netip.AddrPort `json:"source"`
	// Seconds passed until the answer, or until nothing more was waited for.
	Seconds float64 `json:"seconds"`
}

// Outcome is what came back.
type Outcome string

const (
	// OutcomeAnswered: a program, or of a ping the host, answered.
	OutcomeAnswered Outcome = "answered"
	// OutcomeClosed: the host answered that no program listens.
	OutcomeClosed Outcome = "closed"
	// OutcomeRejected: the other end's policy or firewall says that it refuses the flow.
	OutcomeRejected Outcome = "rejected"
	// OutcomeUnreachable: a router or host says that the packet gets no further.
	OutcomeUnreachable Outcome = "unreachable"
	// OutcomeAnswerRefused: an answer came, and this end refused it.
	OutcomeAnswerRefused Outcome = "answer-refused"
	// OutcomeSilent: nothing came.
	OutcomeSilent Outcome = "silent"
)

// Presence is what the other end said to a TSMP ping, which Wrappers and Tailscale answer
// whatever their policy is.
type Presence string

const (
	// PresencePong: it answered, so packets pass both ways.
	PresencePong Presence = "pong"
	// PresenceNoTSMP: its host answered that it does not speak TSMP, as one with plain
	// WireGuard does. Packets pass both ways.
	PresenceNoTSMP Presence = "no-tsmp"
)

// DefaultTraceTime is how long Trace waits for an answer where nothing else is asked for:
// two resends after the first packet was lost.
const DefaultTraceTime = 3 * time.Second

// MaxTraceTime bounds what may be asked for.
const MaxTraceTime = time.Minute

// Trace tries a flow of the host's own: it explains the flow, and if nothing stands in its
// way here, sends its first packet to the peer and says what came back: of TCP a SYN, of
// UDP an empty datagram, of ICMP an echo request, and beside it a TSMP ping. What is lost
// is sent again each second, until wait is over. A connection that is accepted is reset
// before a program of the peer's sees it.
//
// The packet is sent past the host's own programs and firewall. Its source must be an
// address of this node: others, whose answers go elsewhere, are an error, as are protocols
// that cannot be tried, and ErrSinks. Trace has Explain's bounds beside wait, of which 0
// is DefaultTraceTime.
func (t *Tunnel) Trace(ctx context.Context, f policy.Flow, wait time.Duration) (tr Trace, err error) {
	if err := t.mayTrace(f, &wait); err != nil {
		return tr, fmt.Errorf("tunnel: trace: %w", err)
	}
	// It keeps the port from programs that ask for a free one, and takes what UDP answers,
	// to which the host would answer with an error otherwise.
	held, err := t.ListenPacket(ctx, "udp", netip.AddrPortFrom(f.Src, 0).String())
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return tr, fmt.Errorf("tunnel: trace: %v is not an address of this host: what answers goes to where it is", f.Src)
	}
	if err != nil {
		return tr, fmt.Errorf("tunnel: trace: a port of %v: %w", f.Src, err)
	}
	defer func() { _ = held.Close() }() // nothing is sent through it
	src, err := netip.ParseAddrPort(held.LocalAddr().String())
	if err != nil {
		return tr, fmt.Errorf("tunnel: trace: %w", err)
	}
	tr.Explanation = t.Explain(ctx, filter.Outbound, f)
	if tr.Obstacle() != nil {
		return tr, nil
	}
	p, err := t.probe(ctx, newProbing(f, src, tr.Peer), wait)
	if err != nil {
		return tr, fmt.Errorf("tunnel: trace: %w", err)
	}
	if p.Outcome == OutcomeAnswered && f.Proto == ipproto.UDP { // which the host is to take, not to refuse
		_ = held.SetReadDeadline(time.Now().Add(hostTime))
		_, _, _ = held.ReadFrom(make([]byte, 1))
	}
	tr.Probe = p
	return tr, nil
}

// mayTrace returns why a flow cannot be tried, or nil. It makes a wait of 0 the default.
func (t *Tunnel) mayTrace(f policy.Flow, wait *time.Duration) error {
	if *wait == 0 {
		*wait = DefaultTraceTime
	}
	switch {
	case *wait < 0 || *wait > MaxTraceTime:
		return fmt.Errorf("a time of %v: want up to %v", *wait, MaxTraceTime)
	case f.Proto != ipproto.TCP && f.Proto != ipproto.UDP && !f.Proto.IsICMP():
		return fmt.Errorf("protocol %v: want tcp, udp or icmp", f.Proto)
	case f.Proto.IsICMP() && (f.Proto == ipproto.ICMPv4) != f.Src.Is4():
		return fmt.Errorf("protocol %v from %v: want the ICMP of its IP version", f.Proto, f.Src)
	case f.Src.Is4() != f.Dst.Addr().Is4():
		return fmt.Errorf("from %v to %v: want one IP version", f.Src, f.Dst.Addr())
	case t.DirectionOf(f) != filter.Outbound:
		return fmt.Errorf("%v does not begin at this node: ask where %v is, or explain it", f, f.Src)
	}
	return nil
}
