package tstun

import (
	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// This file decides: which stages a packet goes through, in which order, and
// with what outcome. It depends on the batch's configuration, packet and time
// alone; queues, devices and clocks are its callers'.

// fate says what becomes of a packet.
type fate uint8

const (
	passed  fate = iota // goes on to WireGuard or to the device
	taken               // a hook or the Wrapper itself has it: delivered
	dropped             // counted under the outcome's reason
	waits               // for the first fragment of its datagram; then admit goes on with it
)

type outcome struct {
	fate   fate
	reason filter.Reason // of a dropped packet
}

func drop(r filter.Reason) outcome { return outcome{dropped, r} }

// logAll lets the filter log what its Config allows.
const logAll = filter.LogDrops | filter.LogAccepts

// outbound takes the packet in hand from the host towards WireGuard.
func (b *batch) outbound() outcome {
	p := &b.p
	if p.IPVersion == 0 {
		return drop(filter.ReasonMalformed)
	}
	b.noteDestination()
	if p.Proto() == ipproto.TSMP {
		return drop(filter.ReasonHostTSMP)
	}
	if b.isOwnDisco() {
		return drop(filter.ReasonOwnDisco)
	}
	b.stamp = flow.Stamp{}
	b.id.SetOut(p)
	if o := b.hook(b.w.PreFilterFromTunToNetstack); o.fate != passed {
		return o
	}
	if o := b.hook(b.w.PreFilterFromTunToEngine); o.fate != passed {
		return o
	}
	if o := b.mainOut(); o.fate != passed {
		return o
	}
	if o := b.hook(b.w.PostFilterOut); o.fate != passed {
		return o
	}
	b.leave()
	return outcome{}
}

// mainOut runs the main filter on a packet from the host.
func (b *batch) mainOut() outcome {
	f := b.cfg.filter
	if b.known {
		return outcome{}
	}
	if f == nil {
		return drop(filter.ReasonNoFilter)
	}
	if v := f.Out(&b.p, b.now, logAll); v.Response.IsDrop() {
		return drop(v.Reason)
	}
	return outcome{}
}

// injected takes the packet in hand, which a program sends in the host's
// place, towards WireGuard. Bytes that are no IP packet pass too: they are
// the injector's affair.
func (b *batch) injected() {
	b.id.SetOut(&b.p)
	if b.p.IPVersion == 0 {
		return
	}
	b.noteDestination()
	b.leave()
}

// leave is the way out that all outbound packets share: replies are expected
// at the host's own address, so the flow is recorded before source NAT.
func (b *batch) leave() {
	peer := b.cfg.peers.find(b.p.Dst.Addr())
	if f := b.cfg.filter; f != nil && !b.known {
		b.stamp = f.RecordRun(&b.p, &b.id, b.now, peer.flags(), b.cfg.peers.whose())
	}
	if peer != nil && len(peer.nat) > 0 {
		b.stamp = flow.Stamp{} // each packet has to be translated
		peer.sourceNAT(&b.p)
	}
}

// inbound takes the packet in hand from WireGuard towards the host.
func (b *batch) inbound() outcome {
	p := &b.p
	b.reply = replyNone
	b.stamp = flow.Stamp{}
	if p.IPVersion == 0 {
		return drop(filter.ReasonMalformed)
	}
	peer := b.cfg.peers.find(p.Src.Addr())
	if peer != nil && p.Src.Addr() != p.Dst.Addr() { // which the filter is to see
		peer.destinationNAT(p)
	}
	b.id.SetIn(p)
	if p.Proto() == ipproto.TSMP {
		if o := b.control(); o.fate != passed {
			return o
		}
	}
	if f := b.w.OnICMPEchoResponseReceived; f != nil && p.IsEchoResponse() && f(p) {
		return outcome{fate: taken}
	}
	if b.isOwnDisco() {
		return drop(filter.ReasonOwnDisco)
	}
	if o := b.hook(b.w.PreFilterIn); o.fate != passed {
		return o
	}
	if b.awaitsFirst() {
		return outcome{fate: waits}
	}
	return b.admit(peer)
}

// awaitsFirst reports whether the packet in hand is a fragment that the main
// filter cannot judge yet.
func (b *batch) awaitsFirst() bool {
	return b.p.IsFragment() && b.cfg.filter != nil && b.cfg.filter.Awaits(&b.p, b.now)
}

// admit takes an inbound packet through the main filter and what follows it.
func (b *batch) admit(peer *peer) outcome {
	p := &b.p
	if o := b.mainIn(peer); o.fate != passed {
		return o
	}
	if o := b.hook(b.w.PostFilterIn); o.fate != passed {
		return o
	}
	if p.Proto() == ipproto.TSMP {
		return outcome{fate: taken} // ends here: the host does not speak it
	}
	return outcome{}
}

// mainIn runs the main filter on a packet from a peer.
func (b *batch) mainIn(peer *peer) outcome {
	if b.known {
		return outcome{}
	}
	f := b.cfg.filter
	if f == nil {
		return drop(filter.ReasonNoFilter)
	}
	flags := logAll | peer.flags()
	if b.isForPeerAPI() {
		flags |= filter.Exempt
	}
	v, stamp := f.InRun(&b.p, &b.id, b.now, flags, b.cfg.peers.whose())
	if !v.Response.IsDrop() {
		if peer == nil || len(peer.nat) == 0 { // else each packet has to be translated
			b.stamp = stamp
		}
		return outcome{}
	}
	if v.Response == filter.Drop {
		b.reply = b.cfg.reject.reply(&b.p, v.Reason)
	}
	return drop(v.Reason)
}

// isForPeerAPI reports whether the packet opens a connection to the peer API,
// which needs no rule.
func (b *batch) isForPeerAPI() bool {
	if !b.p.IsTCPSyn() {
		return false
	}
	port, ok := b.peerAPIPort(&b.p)
	return ok && b.p.Dst.Port() == port
}

func (b *batch) peerAPIPort(p *packet.Parsed) (uint16, bool) {
	if b.w.PeerAPIPort == nil {
		return 0, false
	}
	return b.w.PeerAPIPort(p.Dst.Addr())
}

// control handles the TSMP messages that the Wrapper itself is asked or told;
// a rejection goes on through the filter.
func (b *batch) control() outcome {
	p := &b.p
	if p.IsTSMPPing() && p.BetweenHosts() { // AsTSMPPing allocates
		b.reply = replyPong
		return outcome{fate: taken}
	}
	if p.IsTSMPPong() {
		if f := b.w.OnTSMPPongReceived; f != nil {
			pong, _ := p.AsTSMPPong()
			f(pong)
		}
		return outcome{fate: taken}
	}
	if _, ok := p.AsTSMPRejected(); ok {
		return outcome{}
	}
	return drop(filter.ReasonBadTSMP)
}

func (b *batch) hook(f FilterFunc) outcome {
	if f == nil {
		return outcome{}
	}
	switch f(&b.p, b.w) {
	case filter.Accept:
		return outcome{}
	case filter.Handled:
		return outcome{fate: taken}
	default:
		return drop(filter.ReasonHook)
	}
}

func (b *batch) isOwnDisco() bool {
	own := b.cfg.disco
	if own == nil {
		return false
	}
	k, ok := b.p.DiscoKey()
	return ok && k == *own
}

func (b *batch) noteDestination() {
	if len(b.cfg.activity) == 0 {
		return
	}
	if f := b.cfg.activity[b.p.Dst.Addr()]; f != nil {
		f()
	}
}
