package tstun_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun"
	"tstun/filter"
	"tstun/packet"
)

// packetBuffer returns a PacketBuffer of gVisor's; released counts its end.
func packetBuffer(b []byte, released *int) *stack.PacketBuffer {
	return stack.NewPacketBuffer(stack.PacketBufferOptions{
		Payload:   buffer.MakeWithData(b),
		OnRelease: func() { *released++ },
	})
}

func TestInjectOutboundKeepsOrder(t *testing.T) {
	r := newRig(t, 8)
	var want [][]byte
	released := 0
	for i := range 100 {
		pkt := udp(host4, 1, peer4, 2, fmt.Sprint(i))
		want = append(want, pkt)
		var err error
		if i%2 == 0 {
			err = r.w.InjectOutbound(bytes.Clone(pkt))
		} else {
			err = r.w.InjectOutboundPacketBuffer(packetBuffer(pkt, &released))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wantPackets(t, "Read", r.read(100), want...)
	if released != 50 {
		t.Errorf("%d PacketBuffers released, want 50", released)
	}
	if c := r.w.Counters(); c.Out.Packets != 100 || c.Out.Dropped() != 0 {
		t.Errorf("counted %+v, want 100 packets", c.Out)
	}
}

func TestInjectInbound(t *testing.T) {
	r := newRig(t, 1)
	r.w.PreFilterIn = func(*packet.Parsed, *tstun.Wrapper) filter.Response {
		t.Error("hook sees an injected packet")
		return filter.Drop
	}
	r.w.SetFilter(filter.NewAllowNone(nil))
	pkt := udp(peer4, 1, host4, 2, "payload")
	if err := r.w.InjectInboundCopy(pkt); err != nil {
		t.Fatal(err)
	}
	buf := append(make([]byte, offset+5), pkt...)
	if err := r.w.InjectInboundDirect(buf, offset+5); err != nil {
		t.Fatal(err)
	}
	released := 0
	if err := r.w.InjectInboundPacketBuffer(packetBuffer(bytes.Clone(pkt), &released)); err != nil {
		t.Fatal(err)
	}
	wantPackets(t, "to the device", r.dev.Written(), pkt, pkt, pkt)
	if released != 1 {
		t.Errorf("PacketBuffer released %d times", released)
	}
	if c := r.w.Counters(); c.In.Packets != 3 || c.In.Bytes != uint64(3*len(pkt)) {
		t.Errorf("counted %+v, want 3 packets of %d bytes", c.In, len(pkt))
	}
}

func TestInjectArguments(t *testing.T) {
	r := newRig(t, 1)
	for name, err := range map[string]error{
		"InjectInboundCopy(nil)":         r.w.InjectInboundCopy(nil),
		"InjectInboundDirect of nothing": r.w.InjectInboundDirect(make([]byte, offset), offset),
		"InjectOutbound(nil)":            r.w.InjectOutbound(nil),
		"InjectOutbound of nothing":      r.w.InjectOutbound([]byte{}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	released := 0
	if err := r.w.InjectOutboundPacketBuffer(packetBuffer(nil, &released)); err != nil || released != 1 {
		t.Errorf("InjectOutboundPacketBuffer of nothing: %v, released %d times", err, released)
	}
	long := make([]byte, tstun.MaxPacketSize+1)
	for name, err := range map[string]error{
		"offset too small":                    r.w.InjectInboundDirect(make([]byte, 100), offset-1),
		"offset behind the buffer":            r.w.InjectInboundDirect(make([]byte, offset), offset+1),
		"InjectInboundDirect too long":        r.w.InjectInboundDirect(append(make([]byte, offset), long...), offset),
		"InjectInboundCopy too long":          r.w.InjectInboundCopy(long),
		"InjectOutbound too long":             r.w.InjectOutbound(long),
		"InjectOutboundPacketBuffer too long": r.w.InjectOutboundPacketBuffer(packetBuffer(long, &released)),
		"InjectInboundPacketBuffer too long":  r.w.InjectInboundPacketBuffer(packetBuffer(long, &released)),
	} {
		if err == nil || errors.Is(err, tstun.ErrClosed) {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
	if released != 3 {
		t.Errorf("%d PacketBuffers released, want 3", released)
	}
	if w := r.dev.Written(); len(w) != 0 {
		t.Errorf("%d packets written", len(w))
	}
	if c := r.w.Counters(); c.Out.Packets != 0 || c.In.Packets != 0 {
		t.Errorf("counted %+v", c)
	}
	largest := make([]byte, tstun.MaxPacketSize)
	if err := r.w.InjectOutbound(largest); err != nil {
		t.Errorf("packet of MaxPacketSize: %v", err)
	}
	wantPackets(t, "packet of MaxPacketSize", r.read(1), largest)
}

// TestLesson04HookThatInjectsCannotDeadlock: Read's own goroutine fills the
// queue that only Read empties.
func TestLesson04HookThatInjectsCannotDeadlock(t *testing.T) {
	r := newRig(t, 1)
	var full int
	r.w.PostFilterOut = func(p *packet.Parsed, w *tstun.Wrapper) filter.Response {
		for i := range 3000 {
			if err := w.InjectOutbound(udp(host4, uint16(i), peer4, 9, "injected")); errors.Is(err, tstun.ErrQueueFull) {
				full++
			} else if err != nil {
				t.Error(err)
			}
		}
		return filter.Accept
	}
	r.w.SetFilter(filter.NewAllowAll(nil))
	r.fromHost(udp(host4, 1, peer4, 2, "x"))
	if full == 0 || full == 3000 {
		t.Errorf("%d injections were refused, want some", full)
	}
	c := r.w.Counters()
	if c.QueueOverflows != uint64(full) || c.Out.Drops[filter.ReasonQueueFull] != uint64(full) {
		t.Errorf("%d overflows counted, %d dropped as queue-full; want %d", c.QueueOverflows, c.Out.Drops[filter.ReasonQueueFull], full)
	}
	if got := len(r.read(3000 - full)); got != 3000-full {
		t.Errorf("%d injected packets came out, want %d", got, 3000-full)
	}
}

func TestLesson04RefusedFloodWithNobodyReading(t *testing.T) {
	families(t, func(t *testing.T, host, peer netip.Addr) {
		for _, mode := range []tstun.Reject{tstun.RejectTSMP, tstun.RejectReset} {
			r := newRig(t, 1)
			r.allow(to(port(80)))
			r.w.SetReject(mode)
			for i := range 5000 {
				r.fromPeer(tcp(peer, uint16(i), host, 81, packet.TCPSyn, ""))
			}
			c := r.w.Counters()
			if c.In.Drops[filter.ReasonNoRule] != 5000 {
				t.Errorf("%d drops, want 5000", c.In.Drops[filter.ReasonNoRule])
			}
			if queued := 5000 - c.QueueOverflows; queued == 0 || queued == 5000 {
				t.Errorf("%d of 5000 answers were queued, want a bounded number", queued)
			}
		}
	})
}

// TestLesson01RepliesToAllThatGoesOut: replies come in to whatever the host's
// side sent, on each way out, and nothing else does.
func TestLesson01RepliesToAllThatGoesOut(t *testing.T) {
	released := 0
	ways := map[string]func(r *rig, pkt []byte) [][]byte{
		"Read": func(r *rig, pkt []byte) [][]byte { return r.fromHost(pkt) },
		"InjectOutbound": func(r *rig, pkt []byte) [][]byte {
			if err := r.w.InjectOutbound(pkt); err != nil {
				r.t.Fatal(err)
			}
			return r.read(1)
		},
		"InjectOutboundPacketBuffer": func(r *rig, pkt []byte) [][]byte {
			if err := r.w.InjectOutboundPacketBuffer(packetBuffer(pkt, &released)); err != nil {
				r.t.Fatal(err)
			}
			return r.read(1)
		},
	}
	for way, send := range ways {
		for _, mode := range []string{"plain", "NAT", "jailed"} {
			t.Run(way+"/"+mode, func(t *testing.T) {
				families(t, func(t *testing.T, host, peer netip.Addr) { testReplies(t, send, mode, host, peer) })
			})
		}
	}
}

func testReplies(t *testing.T, send func(*rig, []byte) [][]byte, mode string, host, peer netip.Addr) {
	r := newRig(t, 1)
	r.allow(to(port(80)))
	seen := host // the address by which the peer knows the host
	p := tstun.Peer{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, Jailed: mode == "jailed"}
	if mode == "NAT" {
		seen = randomAddr(host.Is6())
		p.NAT = []tstun.NAT{{Host: host, As: seen}}
	}
	if mode != "plain" {
		if err := r.w.SetPeers([]tstun.Peer{p}); err != nil {
			t.Fatal(err)
		}
	}
	wantPackets(t, "unsolicited, before", r.fromPeer(udp(peer, 53, seen, 5000, "answer")))
	wantPackets(t, "query", send(r, udp(host, 5000, peer, 53, "query")), udp(seen, 5000, peer, 53, "query"))
	wantPackets(t, "reply", r.fromPeer(udp(peer, 53, seen, 5000, "answer")), udp(peer, 53, host, 5000, "answer"))
	wantPackets(t, "from another port", r.fromPeer(udp(peer, 54, seen, 5000, "answer")))
	wantPackets(t, "to another port", r.fromPeer(udp(peer, 53, seen, 5001, "answer")))
}

// randomAddr is random in all its bits but the few that keep it off the
// martians.
func randomAddr(v6 bool) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[0] = 0x20 + b[0]&0x1f // 32/3, 2000::/3
	if !v6 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}
