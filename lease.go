package tstun

import (
	"time"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// A lease lasts for a 64th of the time that its flow has left without further
// packets, and no longer than leaseTime. So it never outlasts the flow, and as
// the packets that it covers do not put off the flow's expiry, that comes
// early by no more.
const (
	leaseTime  = 100 * time.Millisecond
	leaseShare = 64
)

// lease is what the last packet that passed tells about the next ones of its
// flow: while it holds, the filter would only repeat itself. It lasts for a
// short time and one configuration, so that also packets that come one by one
// share it.
type lease struct {
	serial uint64 // of the configuration, which is not kept: a lane may idle for long
	until  int64  // as clock.Now tells
	like   packet.Run
	stamp  flow.Stamp
	ports  uint32 // of the last packet that it did not cover
	id     flow.ID
	run    int // where batch.runs has the flow; -1: not yet

	// whole: nobody wants to see the packets themselves, no hook nor check.
	whole bool
}

// cover returns the length of the packet at the front of pkt if the lease has
// the verdict on it, which is that it passes; and else 0.
func (l *lease) cover(pkt []byte) int {
	if !l.stamp.Holds() {
		return 0
	}
	return l.like.Match(pkt)
}

// renew begins the next call with the lease, if it is still good.
func (b *batch) renewLease() {
	b.lease.run = -1
	if b.lease.serial != b.cfg.serial || b.now >= b.lease.until {
		b.lease.stamp = flow.Stamp{}
	}
}

// takeLease makes the packet in hand, which has passed with b.stamp, the one
// that the lease is about, if it is the second of its ports in a row. run is
// its run, whole as in lease. The statistics get what the flow of the lease
// before has carried.
func (b *batch) takeLease(whole bool, run int) {
	ports := uint32(b.p.Src.Port())<<16 | uint32(b.p.Dst.Port())
	if ports != b.lease.ports {
		b.lease.ports = ports // a third packet of these ports is worth it
		return
	}
	like, ok := b.p.Run()
	if !ok || !b.stamp.Holds() {
		return
	}
	if b.p.IPProto == ipproto.UDP && b.cfg.disco != nil {
		whole = false
	}
	b.lease = lease{serial: b.cfg.serial, until: b.leaseUntil(), like: like, stamp: b.stamp, ports: ports, id: b.id, run: run, whole: whole}
	if b.cfg.stats != nil {
		before := b.ledger.follow(&b.id)
		b.cfg.stats.add(&before, b.way, b.now, b.cfg.peers)
	}
}

// leaseUntil is when a lease by the packet in hand ends.
func (b *batch) leaseUntil() int64 {
	share := b.stamp.Expires()/leaseShare - b.now/leaseShare // in two, for times may be far apart
	return b.now + min(int64(leaseTime), share)
}

// seenIn reports whether a hook sees inbound packets of open flows.
func (w *Wrapper) seenIn() bool { return w.PreFilterIn != nil || w.PostFilterIn != nil }

// seenOut is seenIn for outbound packets.
func (w *Wrapper) seenOut() bool {
	return w.PreFilterFromTunToNetstack != nil || w.PreFilterFromTunToEngine != nil || w.PostFilterOut != nil
}
