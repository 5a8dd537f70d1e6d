package tunnel

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"tstun"
	"tstun/ipproto"
	"tstun/packet"
	"tstun/policy"
)

// resendAfter is how long a lost packet is waited for before another is sent: the first
// timeout of TCP (RFC 6298 §2.1).
const resendAfter = time.Second

// hostTime is how long the host may take for an answer: to reset a connection that no
// program of its asked for, or to take a datagram. Its firewall may keep it from seeing it.
const hostTime = 100 * time.Millisecond

// probing is a flow that is being tried.
type probing struct {
	policy.Flow
	src  netip.AddrPort // of a ping, the port is the identifier
	peer string         // whom the flow goes to
	seq  uint32         // of the SYN
	ping [8]byte        // what a TSMP ping bears
	seen chan sighting
}

// sighting is a packet that passed while a flow was tried.
type sighting struct {
	outcome  Outcome  // or empty
	code     string   // as Probe has it
	presence Presence // or empty
	from     netip.Addr
	ack      uint32 // of a SYN-ACK
	reset    bool   // the host reset the connection
}

func newProbing(f policy.Flow, src netip.AddrPort, peer string) *probing {
	p := &probing{Flow: f, src: src, peer: peer, seq: rand.Uint32(), seen: make(chan sighting, 16)}
	binary.NativeEndian.PutUint64(p.ping[:], rand.Uint64())
	return p
}

// probe sends p's packets and waits for what comes.
func (t *Tunnel) probe(ctx context.Context, p *probing, wait time.Duration) (*Probe, error) {
	stop, err := t.Observe(p.see)
	if err != nil {
		return nil, err
	}
	defer stop()
	began := time.Now()
	end := time.NewTimer(wait)
	defer end.Stop()
	again := time.NewTicker(resendAfter)
	defer again.Stop()
	answer := sighting{outcome: OutcomeSilent}
	var presence Presence
	if err := t.send(p, presence); err != nil {
		return nil, err
	}
	for waiting := true; waiting; {
		select {
		case s := <-p.seen:
			if s.presence != "" {
				presence = s.presence
			}
			if s.outcome != "" {
				answer, waiting = s, false
			}
		case <-again.C:
			if err := t.send(p, presence); err != nil {
				return nil, err
			}
		case <-end.C:
			waiting = false
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	took := time.Since(began)
	if answer.outcome == OutcomeAnswered && p.Proto == ipproto.TCP {
		if err := t.reset(p, answer.ack); err != nil {
			return nil, err
		}
	}
	return p.result(answer, presence, took), nil
}

// send sends the flow's first packet, and a TSMP ping if the other end's presence is not
// known.
func (t *Tunnel) send(p *probing, known Presence) error {
	if known == "" {
		ping := packet.TSMPPing{IPHeader: packet.IPHeader{Src: p.Src, Dst: p.Dst.Addr(), Proto: ipproto.TSMP}, Data: p.ping}
		if err := t.wrapper.InjectOutbound(packet.Generate(ping, nil)); err != nil {
			return err
		}
	}
	return t.wrapper.InjectOutbound(packet.Generate(p.first(), nil))
}

// first returns the header that is the flow's first packet.
func (p *probing) first() packet.Header {
	switch p.Proto {
	case ipproto.TCP:
		return packet.TCPHeader{Src: p.src, Dst: p.Dst, Seq: p.seq, Flags: packet.TCPSyn, Window: 1 << 15}
	case ipproto.UDP:
		return packet.UDPHeader{Src: p.src, Dst: p.Dst}
	}
	h := packet.ICMPHeader{Src: p.Src, Dst: p.Dst.Addr(), Type: packet.EchoRequestType(p.Proto)}
	binary.BigEndian.PutUint16(h.Rest[:], p.src.Port())
	return h
}

// reset ends a connection that was accepted, if the host does not: what answers a SYN that
// it did not send, it resets, but for a firewall that drops what it has not seen begin.
func (t *Tunnel) reset(p *probing, ack uint32) error {
	late := time.After(hostTime)
	for {
		select {
		case s := <-p.seen:
			if s.reset {
				return nil
			}
		case <-late:
			h := packet.TCPHeader{Src: p.src, Dst: p.Dst, Seq: ack, Flags: packet.TCPRst}
			return t.wrapper.InjectOutbound(packet.Generate(h, nil))
		}
	}
}

// see is a sink of the Wrapper's. What does not fit the channel is left out.
func (p *probing) see(o *tstun.Observation) {
	s, ok := p.sighting(o)
	if !ok {
		return
	}
	select {
	case p.seen <- s:
	default:
	}
}

// sighting returns what a packet tells of the flow.
func (p *probing) sighting(o *tstun.Observation) (s sighting, ok bool) {
	k := o.Parsed()
	switch {
	case !o.Inbound:
		// From the kernel, or injected by the network stack.
		return sighting{reset: true}, k.TCPFlags&packet.TCPRst != 0 && k.Src == p.src && k.Dst == p.Dst
	case k.Dst.Addr() != p.Src:
		return s, false
	case k.IsError():
		s, ok = p.refusal(k)
	case k.Src.Addr() != p.Dst.Addr():
		return s, false
	case k.Proto() == ipproto.TSMP:
		s, ok = p.word(k)
	default:
		s, ok = p.reply(k)
		if ok && o.Verdict.Response.IsDrop() {
			return sighting{outcome: OutcomeAnswerRefused, code: o.Verdict.Reason.String()}, true
		}
	}
	s.from = k.Src.Addr()
	return s, ok && !o.Verdict.Response.IsDrop()
}

// reply returns what a packet of the flow tells.
func (p *probing) reply(k *packet.Parsed) (s sighting, ok bool) {
	s.outcome = OutcomeAnswered
	switch {
	case k.IPProto != p.Proto:
		return s, false
	case p.Proto.IsICMP():
		return s, k.IsEchoResponse() && k.EchoID() == p.src.Port()
	case k.Src != p.Dst || k.Dst != p.src:
		return s, false
	case p.Proto == ipproto.UDP:
		return s, true
	}
	s.ack = binary.BigEndian.Uint32(k.Transport()[8:])
	if k.TCPFlags&packet.TCPRst != 0 {
		s.outcome = OutcomeClosed
	}
	return s, s.ack == p.seq+1 && (s.outcome == OutcomeClosed || k.TCPFlags&packet.TCPSynAck == packet.TCPSynAck)
}

// word returns what a TSMP message tells.
func (p *probing) word(k *packet.Parsed) (s sighting, ok bool) {
	if pong, ok := k.AsTSMPPong(); ok {
		return sighting{presence: PresencePong}, pong.Data == p.ping
	}
	r, ok := k.AsTSMPRejected()
	return sighting{outcome: OutcomeRejected, code: r.Reason.String(), presence: PresencePong}, ok && r.Proto == p.Proto &&
		r.Src == p.src && (p.Proto.IsICMP() || r.Dst == p.Dst)
}

// refusal returns what an ICMP error tells: about the flow, or about the TSMP ping, which a
// host that does not speak TSMP says.
func (p *probing) refusal(k *packet.Parsed) (s sighting, ok bool) {
	var q packet.Parsed
	if !k.Quoted(&q) || q.Src.Addr() != p.Src || q.Dst.Addr() != p.Dst.Addr() {
		return s, false
	}
	if q.Proto() == ipproto.TSMP {
		return sighting{presence: PresenceNoTSMP}, k.Src.Addr() == p.Dst.Addr()
	}
	s.outcome, s.code = icmpOutcome(k, p.Proto)
	if p.Proto.IsICMP() {
		return s, q.EchoID() == p.src.Port()
	}
	return s, q.Src == p.src && q.Dst == p.Dst && q.IPProto == p.Proto
}
