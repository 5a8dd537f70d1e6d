package pipeline

import (
	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// Frame is the packet in hand, and what the stages find out about it. One
// goroutine at a time uses it.
type Frame struct {
	Config *Config
	Now    int64 // nanoseconds, as clock.Now tells

	Packet packet.Parsed
	Cached bool // VerdictCache has the filter's verdict on Packet: it passes

	ID    flow.ID    // of Packet, as the host sees it; zero for none
	HasID bool       // ID is that of Packet as it came
	Stamp flow.Stamp // while it holds, the filter would repeat its verdict
	Reply Reply      // to be sent back for Packet
	Waits bool       // for the first fragment of its datagram: Inbound has not judged it
	// Counting is Packet, if the filter has counted it in its flow's account, which it
	// does if Count is set. Whoever reads that empties Counting.Counted.
	Counting flow.Counting
	Count    bool

	// Untranslated is Packet's bytes before NAT, if Config.KeepUntranslated and
	// its peer has NAT, or else empty. The memory is the Frame's.
	Untranslated []byte
}

// A packet that the verdict cache knows does not come here, as long as no stage
// needs to see it. So a stage that looks at bytes which packet.Run does not
// compare, such as the payload or the traffic class, has its term in SeesIn or
// SeesOut.

// SeesIn reports whether a stage of Inbound, the main filter aside, is to see
// every packet that is like f's in what packet.Run compares.
func (f *Frame) SeesIn() bool { return f.Config.Hooks.SeeIn() || f.mayBeDisco() }

// SeesOut is SeesIn for the stages of Outbound.
func (f *Frame) SeesOut() bool { return f.Config.RunsOut() || f.mayBeDisco() }

// mayBeDisco reports whether packets like f's may be the own disco packets.
func (f *Frame) mayBeDisco() bool {
	return f.Config.Disco != nil && f.Packet.IPProto == ipproto.UDP
}

func accept() filter.Verdict { return filter.Verdict{Response: filter.Accept} }

func handled() filter.Verdict { return filter.Verdict{Response: filter.Handled} }

func drop(r filter.Reason) filter.Verdict { return filter.Verdict{Response: filter.Drop, Reason: r} }

// Outbound judges the packet from the host and takes it to WireGuard.
func (f *Frame) Outbound() filter.Verdict {
	p, hooks := &f.Packet, f.Config.Hooks
	f.Untranslated = f.Untranslated[:0]
	if p.IPVersion == 0 {
		return drop(filter.ReasonMalformed)
	}
	f.callActivity()
	if p.Proto() == ipproto.TSMP {
		return drop(filter.ReasonHostTSMP)
	}
	if f.isOwnDisco() {
		return drop(filter.ReasonOwnDisco)
	}
	f.Stamp = flow.Stamp{}
	if !f.HasID {
		f.ID.SetOut(p)
	}
	if v := f.hook(hooks.ToNetstack); v.Response != filter.Accept {
		return v
	}
	if v := f.hook(hooks.ToEngine); v.Response != filter.Accept {
		return v
	}
	if v := f.mainOut(); v.Response != filter.Accept {
		return v
	}
	if v := f.hook(hooks.PostFilterOut); v.Response != filter.Accept {
		return v
	}
	f.recordAndTranslate()
	return accept()
}

// mainOut runs the main filter on a packet from the host.
func (f *Frame) mainOut() filter.Verdict {
	if f.Cached {
		return accept()
	}
	if f.Config.Filter == nil {
		return drop(filter.ReasonNoFilter)
	}
	return f.Config.Filter.Out(&f.Packet, f.Now, f.Config.Log)
}

// InjectedOut takes a packet that the program sends in the host's place to
// WireGuard. Bytes that are no IP packet pass too: they are the injector's
// affair.
func (f *Frame) InjectedOut() {
	f.ID.SetOut(&f.Packet)
	f.Untranslated = f.Untranslated[:0]
	if f.Packet.IPVersion == 0 {
		return
	}
	f.callActivity()
	f.recordAndTranslate()
}

// recordAndTranslate is the end that all outbound packets share. Replies are
// expected at the host's own address, so the flow is recorded before source NAT.
func (f *Frame) recordAndTranslate() {
	peer := f.Config.Peers.find(f.Packet.Dst.Addr())
	if m := f.Config.Filter; m != nil && !f.Cached {
		f.Stamp = m.RecordRun(&f.Packet, &f.ID, f.Now, peer.flags(), f.Config.Peers.forFilter(), f.counting(false))
	}
	if f.Packet.IsTCPHandshake() {
		f.clampMSS(peer)
	}
	if peer.translates() {
		f.Stamp = flow.Stamp{} // each packet has to be translated
		f.keepUntranslated()
		peer.sourceNAT(&f.Packet)
	}
}

// keepUntranslated keeps the packet, which is about to be translated, if that is
// asked for.
func (f *Frame) keepUntranslated() {
	if f.Config.KeepUntranslated {
		f.Untranslated = append(f.Untranslated, f.Packet.Buffer()...)
	}
}

// Inbound judges the packet from WireGuard. If it sets f.Waits, it has not: the
// packet is to be held until the first of its datagram has come, and Admit goes
// on with it.
func (f *Frame) Inbound() filter.Verdict {
	p, hooks := &f.Packet, f.Config.Hooks
	f.Reply, f.Stamp, f.Waits, f.Untranslated = NoReply, flow.Stamp{}, false, f.Untranslated[:0]
	if p.IPVersion == 0 {
		return drop(filter.ReasonMalformed)
	}
	// Before all that looks at addresses: held fragments are found by the
	// translated ones.
	peer := f.Config.Peers.find(p.Src.Addr())
	if peer.translates() && p.Src.Addr() != p.Dst.Addr() { // which the filter is to see
		f.keepUntranslated()
		peer.destinationNAT(p)
		f.HasID = false
	}
	if !f.HasID {
		f.ID.SetIn(p)
	}
	if p.IsTCPHandshake() {
		f.clampMSS(peer)
	}
	if p.Proto() == ipproto.TSMP {
		if v := f.control(); v.Response != filter.Accept {
			return v
		}
	}
	if p.IsError() && isAboutTSMP(p) {
		return handled()
	}
	if call := hooks.EchoResponse; call != nil && p.IsEchoResponse() && call(p) {
		return handled()
	}
	if f.isOwnDisco() {
		return drop(filter.ReasonOwnDisco)
	}
	if v := f.hook(hooks.PreFilterIn); v.Response != filter.Accept {
		return v
	}
	if f.AwaitsFirst() {
		f.Waits = true
		return filter.Verdict{}
	}
	return f.admit(peer)
}

// AwaitsFirst reports whether the packet is a fragment that the main filter
// cannot judge before the first of its datagram.
func (f *Frame) AwaitsFirst() bool {
	return f.Packet.IsFragment() && f.Config.Filter != nil && f.Config.Filter.Awaits(&f.Packet, f.Now)
}

// Admit goes on with a packet that waited, from the main filter on.
func (f *Frame) Admit() filter.Verdict {
	f.resume()
	return f.admit(f.Config.Peers.find(f.Packet.Src.Addr()))
}

// AdmitAfter goes on with a packet that was held for the first fragment of its
// datagram, of which the verdict is first. If that is a drop, so is this one's.
func (f *Frame) AdmitAfter(first filter.Verdict) filter.Verdict {
	if !first.Response.IsDrop() {
		return f.Admit()
	}
	f.resume()
	if m := f.Config.Filter; m != nil && first.Reason.IsFilters() && f.Config.Log&filter.LogDrops != 0 {
		m.LogDrop(&f.Packet, f.Now, first.Reason)
	}
	return first
}

// resume makes f what Inbound makes it before the main filter, of a packet that
// was held.
func (f *Frame) resume() {
	f.Cached, f.Reply, f.Stamp, f.Waits = false, NoReply, flow.Stamp{}, false
	f.ID.SetIn(&f.Packet)
}

// InjectedIn takes a packet that the program sends in a peer's place to the
// host. Bytes that are no IP packet pass too. Its MSS is not clamped: it has not
// come through the tunnel.
func (f *Frame) InjectedIn() {
	f.ID.SetIn(&f.Packet)
	f.Untranslated = f.Untranslated[:0]
}

// admit takes an inbound packet through the main filter and what follows it.
func (f *Frame) admit(peer *Peer) filter.Verdict {
	if v := f.mainIn(peer); v.Response != filter.Accept {
		return v
	}
	if v := f.hook(f.Config.Hooks.PostFilterIn); v.Response != filter.Accept {
		return v
	}
	if f.Packet.Proto() == ipproto.TSMP {
		return handled() // ends here: the host does not speak it
	}
	return accept()
}

// mainIn runs the main filter on a packet from a peer.
func (f *Frame) mainIn(peer *Peer) filter.Verdict {
	if f.Cached {
		return accept()
	}
	m := f.Config.Filter
	if m == nil {
		return drop(filter.ReasonNoFilter)
	}
	flags := f.Config.Log | peer.flags()
	if f.isForPeerAPI() {
		flags |= filter.Exempt
	}
	var count *flow.Counting
	if f.Config.Hooks.PostFilterIn == nil { // which may drop the packet
		count = f.counting(true)
	}
	v, stamp := m.InRun(&f.Packet, &f.ID, f.Now, flags, f.Config.Peers.forFilter(), count)
	switch {
	case v.Response == filter.Drop:
		f.Reply = f.Config.Reject.reply(&f.Packet, v.Reason)
	case v.Response == filter.Accept && !peer.translates(): // else each packet has to be translated
		f.Stamp = stamp
	}
	return v
}

// counting returns what the filter may count, or nil.
func (f *Frame) counting(in bool) *flow.Counting {
	if !f.Count {
		return nil
	}
	f.Counting.In, f.Counting.Bytes = in, uint64(len(f.Packet.Buffer()))
	return &f.Counting
}

// isForPeerAPI reports whether the packet opens a connection to the peer API,
// which needs no rule.
func (f *Frame) isForPeerAPI() bool {
	if !f.Packet.IsTCPSyn() {
		return false
	}
	port, ok := f.peerAPIPort()
	return ok && f.Packet.Dst.Port() == port
}

func (f *Frame) peerAPIPort() (uint16, bool) {
	if f.Config.Hooks.PeerAPIPort == nil {
		return 0, false
	}
	return f.Config.Hooks.PeerAPIPort(f.Packet.Dst.Addr())
}

// control handles the TSMP messages that the Wrapper itself is asked or told;
// a rejection goes on through the filter.
func (f *Frame) control() filter.Verdict {
	p := &f.Packet
	if p.IsTSMPPing() && p.BetweenHosts() { // AsTSMPPing allocates
		f.Reply = PongReply
		return handled()
	}
	if p.IsTSMPPong() {
		if call := f.Config.Hooks.Pong; call != nil {
			pong, _ := p.AsTSMPPong()
			call(pong)
		}
		return handled()
	}
	if _, ok := p.AsTSMPRejected(); ok {
		return accept()
	}
	return drop(filter.ReasonBadTSMP)
}

// isAboutTSMP reports whether the ICMP error p is about a TSMP message of this side's:
// a host that does not speak TSMP says so, as RFC 1122 §3.2.2.1 has it. That ends here,
// as TSMP does.
func isAboutTSMP(p *packet.Parsed) bool {
	var q packet.Parsed
	return p.Quoted(&q) && q.Proto() == ipproto.TSMP && q.Src.Addr() == p.Dst.Addr()
}

// hook asks a hook about the packet.
func (f *Frame) hook(h Hook) filter.Verdict {
	if h == nil {
		return accept()
	}
	switch h(&f.Packet) {
	case filter.Accept:
		return accept()
	case filter.Handled:
		return handled()
	default:
		return drop(filter.ReasonHook)
	}
}

// isOwnDisco reports whether the packet is a disco packet with the own key.
func (f *Frame) isOwnDisco() bool {
	if f.Config.Disco == nil {
		return false
	}
	k, ok := f.Packet.DiscoKey()
	return ok && k == *f.Config.Disco
}

// callActivity calls the activity function of the packet's destination.
func (f *Frame) callActivity() {
	if len(f.Config.Activity) == 0 {
		return
	}
	if call := f.Config.Activity[f.Packet.Dst.Addr()]; call != nil {
		call()
	}
}
