// Package tstun puts a packet layer between WireGuard and the operating
// system: a stateful packet filter, hooks, injection of packets both ways,
// exact counters and statistics, and the creation of TUN devices. Wrap takes
// any tun.Device of golang.zx2c4.com/wireguard/tun, and the Wrapper goes into
// wireguard-go's device.NewDevice in its place.
//
// # Words
//
// Most words are the field's. These have a meaning of their own in this module:
//
//   - host: the operating system behind the TUN device, or the userspace
//     network stack that stands in for it.
//   - inbound: from a peer, out of WireGuard, towards the host: Write.
//   - outbound: from the host towards a peer, into WireGuard: Read.
//   - run: consecutive packets of one batch that belong to one flow.
//   - verdict: a filter.Response and a reason. Every packet that does not go
//     through is counted under exactly one reason.
//   - held: of an inbound fragment, that it waits for the first one of its
//     datagram, which has the ports.
//
// # The data path
//
// Read, outbound:
//
//	host's packet ── parse ── destination activity ── host-made TSMP? drop ── own disco? drop
//	    ── PreFilterFromTunToNetstack ── PreFilterFromTunToEngine ── main filter ── PostFilterOut ──┐
//	                                                                                                │
//	injected packet ── parse ── destination activity ───────────────────────────────────────────────┤
//	                                                                                                │
//	WireGuard ◄── count ◄── source NAT ◄── MSS clamp ◄── record the flow, for replies ◄──────────────┘
//
// Write, inbound:
//
//	WireGuard ── parse ── destination NAT ── MSS clamp ── TSMP ping? answer; pong? OnTSMPPongReceived
//	    ── echo response? OnICMPEchoResponseReceived ── own disco? drop ── PreFilterIn
//	    ── fragment before its first? hold ── main filter ── refused? reject ── PostFilterIn ──┐
//	                                                                                           │
//	injected packet ───────────────────────────────────────────────────────────────────────────┴── count ── host
//
// A batch reads the configuration once, so a change takes effect with the
// next one. The first packet binds the hooks: one that is set later is not
// called. Without a main filter, every packet is dropped. Of a run, the first
// packets go this way; the others share what was found, as far as no hook wants
// to see them.
//
// # Use
//
// A program creates a device, wraps it, sets hooks and a filter, and hands
// the Wrapper to wireguard-go:
//
//	dev, name, err := tstun.New(log.Printf, "tun0")
//	if err != nil {
//		tstun.Diagnose(log.Printf, "tun0", err)
//		return err
//	}
//	w := tstun.Wrap(log.Printf, dev)
//	w.SetFilter(f)
//	wg := device.NewDevice(w, bind.New(), logger)
//
// A program without the right to create devices wraps NewFake's device and
// puts the stack of package tstun/netstack on it.
package tstun
