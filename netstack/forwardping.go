package netstack

import (
	"context"
	"net/netip"
	"time"

	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// Bounds of echo requests to forwarded addresses.
const (
	maxPings    = 256  // at once
	maxPingRate = 1000 // in a second: Linux' net.ipv4.icmp_msgs_per_sec
	pingTimeout = 5 * time.Second
)

// echo takes an echo request to an address in the rules, if pings are
// answered. A fragment is not.
func (f *forwarder) echo(p *packet.Parsed) filter.Response {
	if _, known := f.rules.table.Lookup(p.Dst.Addr()); !known || f.config.Ping == nil {
		return filter.Accept
	}
	f.s.counters.in.add(len(p.Buffer()))
	if !icmpIsRight(p) {
		f.s.counters.drop(ReasonChecksum, 1)
		return filter.Drop
	}
	peer := f.s.memory.owner(p.Src.Addr())
	reply, ok := p.EchoReply()
	if !ok || !f.beginPing(peer) {
		f.s.counters.drop(ReasonForward, 1)
		return filter.Drop
	}
	go f.answer(peer, p.Dst.Addr(), reply)
	return filter.Handled
}

// icmpIsRight verifies the checksums, which EchoReply makes anew.
func icmpIsRight(p *packet.Parsed) bool {
	if p.IPVersion == 6 {
		t := p.Transport()
		return packet.Checksum(t, packet.PseudoHeaderSum(ipproto.ICMPv6, p.Src.Addr(), p.Dst.Addr(), len(t))) == rightSum
	}
	pkt, t := p.Buffer(), p.Transport()
	return packet.Checksum(pkt[:len(pkt)-len(t)], 0) == rightSum && packet.Checksum(t, 0) == rightSum
}

func (f *forwarder) beginPing(p flow.PeerID) bool {
	f.pinging.Lock()
	defer f.pinging.Unlock()
	if now := sinceBegan() / int64(time.Second); now != f.pingSecond {
		f.pingSecond = now
		f.pingsNow.clear()
	}
	return f.ctx.Err() == nil && f.pingsNow.take(p) && f.pings.take(p)
}

// answer sends reply if to can be reached.
func (f *forwarder) answer(p flow.PeerID, to netip.Addr, reply []byte) {
	defer func() {
		f.pinging.Lock()
		defer f.pinging.Unlock()
		f.pings.give(p)
	}()
	ctx, cancel := context.WithTimeout(f.ctx, pingTimeout)
	defer cancel()
	if f.config.Ping(ctx, to) && f.ctx.Err() == nil {
		f.link.send(reply)
	}
}
