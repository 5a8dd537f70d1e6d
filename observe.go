package tstun

import (
	"net/netip"

	"tstun/filter"
	"tstun/flow"
	"tstun/internal/accounting"
	"tstun/internal/clock"
	"tstun/internal/fragqueue"
	"tstun/internal/inject"
	"tstun/internal/pipeline"
	"tstun/packet"
)

// Observation is a packet and what became of it. It and the bytes that it refers
// to are valid during the call of the sink, which changes neither.
type Observation struct {
	// Packet is the IP packet as the host sees it: inbound after NAT, outbound
	// before, and in both cases with what hooks have written into its payload.
	// It is empty if its bytes are not there: the device said that a packet is
	// malformed, or it did not fit the buffer of Read's caller.
	Packet []byte
	// Wire is the packet as WireGuard carries it. It differs from Packet where
	// SetPeers has NAT for the peer; but a fragment that was held for the first
	// of its datagram has only the host's form.
	Wire []byte
	// Now is when the call of Read, Write or an injection began that brought the
	// packet, in nanoseconds, as filter.Now tells: all packets of a call have
	// one time.
	Now int64
	// Verdict is Accept, Handled, or a drop with its reason. What is accepted
	// inbound is not yet written: what the device refuses then, Counters has as
	// filter.ReasonDevice.
	Verdict filter.Verdict
	// Filter is the main filter, or nil if none was set.
	Filter   *filter.Filter
	Inbound  bool // from a peer
	Injected bool // by the program, or a reply of the Wrapper's own

	peers   *pipeline.Peers
	decoded bool
	parsed  packet.Parsed
}

// Parsed returns Packet decoded. It is valid as long as Packet.
func (o *Observation) Parsed() *packet.Parsed {
	if !o.decoded {
		o.parsed.Decode(o.Packet)
		o.decoded = true
	}
	return &o.parsed
}

// Peer returns the peer that the packet comes from or goes to, as
// Wrapper.PeerOf tells, or 0 if the packet has no addresses.
func (o *Observation) Peer() flow.PeerID {
	p := o.Parsed()
	if p.IPVersion == 0 {
		return 0
	}
	return o.peers.PeerOf(o.peerAddr(p))
}

func (o *Observation) peerAddr(p *packet.Parsed) netip.Addr {
	if o.Inbound {
		return p.Src.Addr()
	}
	return p.Dst.Addr()
}

// SetCapture makes sink see each packet once, from the next batch on: after its
// verdict, both ways, whether it was accepted, handled or dropped, and injected
// ones too. Fragments that are held are seen when they are judged, or given up.
// Only what Close discards is not seen. With nil, the default, nothing is.
//
// sink runs on the goroutines that call Read, Write and injections, several at
// once, and must not block: what writes to a file needs a bounded ring between.
// Calls that go on while SetCapture is called may use the sink of before to
// their end.
func (w *Wrapper) SetCapture(sink func(*Observation)) {
	w.update(func(c *config) {
		c.sink = sink
		c.KeepUntranslated = sink != nil
	})
}

// observe shows the packet in hand to the sink, if there is one.
func (b *batch) observe(v filter.Verdict) {
	if b.cfg.sink != nil {
		b.show(v, false)
	}
}

// observeInjected is observe for a packet that was injected.
func (b *batch) observeInjected() {
	if b.cfg.sink != nil {
		b.show(filter.Verdict{Response: filter.Accept}, true)
	}
}

// observeCached shows the sink a packet that the verdict cache knows.
func (b *batch) observeCached(pkt []byte) {
	if b.cfg.sink != nil {
		b.showBytes(pkt, pkt, filter.Verdict{Response: filter.Accept}, false)
	}
}

// dropUnread counts n packets, of which the bytes are not there, as dropped.
func (b *batch) dropUnread(r filter.Reason, n int, injected bool) {
	b.call.Drops.Add(r, n)
	if b.cfg.sink != nil {
		for range n {
			b.showBytes(nil, nil, filter.Verdict{Response: filter.Drop, Reason: r}, injected)
		}
	}
}

// show shows the packet in hand to the sink, in both views.
func (b *batch) show(v filter.Verdict, injected bool) {
	host, wire := b.Packet.Buffer(), b.Packet.Buffer()
	switch {
	case len(b.Untranslated) == 0:
	case b.way == accounting.In:
		wire = b.Untranslated
	default:
		host = b.Untranslated
	}
	b.showBytes(host, wire, v, injected)
}

func (b *batch) showBytes(host, wire []byte, v filter.Verdict, injected bool) {
	o := &b.observation
	o.Packet, o.Wire, o.Now, o.Verdict = host, wire, b.Now, v
	o.Filter, o.peers = b.Config.Filter, b.Config.Peers
	o.Inbound, o.Injected, o.decoded = b.way == accounting.In, injected, false
	b.cfg.sink(o)
}

// refuseInjected counts an injected packet that does not come as far as Read.
func (w *Wrapper) refuseInjected(r filter.Reason, p inject.Packet) {
	w.drops.Add(r, 1)
	if cfg := w.config.Load(); cfg.sink != nil {
		cfg.observeDrop(&Observation{Packet: p.Bytes(), Now: clock.Now(), Injected: true}, r)
	}
}

// observeOrphans shows the sink fragments that were given up.
func (w *Wrapper) observeOrphans(orphans []fragqueue.Fragment, now int64) {
	cfg := w.config.Load()
	if cfg.sink == nil {
		return
	}
	for i := range orphans {
		cfg.observeDrop(&Observation{Packet: orphans[i].Packet(), Now: now, Inbound: true}, filter.ReasonFragmentOrphan)
	}
}

// observeDrop shows the sink a packet that was dropped for r outside of a batch.
func (c *config) observeDrop(o *Observation, r filter.Reason) {
	o.Wire, o.Filter, o.peers = o.Packet, c.Filter, c.Peers
	o.Verdict = filter.Verdict{Response: filter.Drop, Reason: r}
	c.sink(o)
}
