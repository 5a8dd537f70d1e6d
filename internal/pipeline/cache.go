package pipeline

import (
	"tstun/flow"
	"tstun/packet"
)

// A cached verdict lasts for a 64th of the time that its flow has left without
// further packets, and no longer than cacheTime, in nanoseconds. So it never
// outlasts the flow. The packets that it covers do not put off the flow's
// expiry, which so comes early by no more.
const (
	cacheTime  = int64(100e6)
	cacheShare = 64
)

// VerdictCache is what the last packet that passed tells about the next ones of
// its flow: while the flow's stamp holds, the filter would only repeat itself.
// It outlives calls, so that also packets that come one by one share it, but not
// its configuration. The zero value is empty. One goroutine at a time uses it.
type VerdictCache struct {
	serial  uint64 // of the configuration, which is not kept: a batch may idle for long
	expires int64
	like    packet.Run
	stamp   flow.Stamp
	ports   uint32 // of the last packet that the cache did not know

	ID flow.ID // of the flow
	// Unseen says that no stage needs to see the packets: see Frame.SeesIn.
	Unseen bool
}

// Lookup returns the length of the packet at the front of pkt if the cache has
// the verdict on it, which is that it passes, or else 0.
func (c *VerdictCache) Lookup(pkt []byte) int {
	if !c.stamp.Holds() {
		return 0
	}
	return c.like.Match(pkt)
}

// Revalidate empties the cache if it is not good at now under the
// configuration.
func (c *VerdictCache) Revalidate(cfg *Config, now int64) {
	if c.serial != cfg.Serial || now >= c.expires {
		c.stamp = flow.Stamp{}
	}
}

// Fill makes the packet in hand, which has passed, the one that the cache is
// about, if it is the second of its ports in a row. seen is Frame.SeesIn's or
// SeesOut's. It reports whether the cache is about another
// flow's packet than before.
func (c *VerdictCache) Fill(f *Frame, seen bool) bool {
	ports := uint32(f.Packet.Src.Port())<<16 | uint32(f.Packet.Dst.Port())
	if ports != c.ports {
		c.ports = ports // a third packet of these ports is worth it
		return false
	}
	if !f.Stamp.Holds() {
		return false // as of a packet that the cache knew
	}
	like, ok := f.Packet.Run()
	if !ok {
		return false
	}
	*c = VerdictCache{
		serial: f.Config.Serial, expires: f.cacheExpiry(), like: like, stamp: f.Stamp, ports: ports,
		ID: f.ID, Unseen: !seen,
	}
	return true
}

// cacheExpiry returns when a cached verdict on the packet in hand expires.
func (f *Frame) cacheExpiry() int64 {
	share := f.Stamp.Expires()/cacheShare - f.Now/cacheShare // in two, for times may be far apart
	return f.Now + min(cacheTime, share)
}
