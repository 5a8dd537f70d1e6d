package tstun_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

func TestInjectOutboundKeepsOrder(t *testing.T) {
	r := rig.New(t, 8)
	var want [][]byte
	released := 0
	for i := range 100 {
		pkt := craft.UDP(host4, 1, peer4, 2, fmt.Sprint(i))
		want = append(want, pkt)
		var err error
		if i%2 == 0 {
			err = r.W.InjectOutbound(bytes.Clone(pkt))
		} else {
			err = r.W.InjectOutboundPacketBuffer(rig.PacketBuffer(pkt, &released))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	rig.WantPackets(t, "Read", r.Read(100), want...)
	if released != 50 {
		t.Errorf("%d PacketBuffers released, want 50", released)
	}
	if c := r.W.Counters(); c.Out.Packets != 100 || c.Out.Dropped() != 0 {
		t.Errorf("counted %+v, want 100 packets", c.Out)
	}
}

func TestInjectInbound(t *testing.T) {
	r := rig.New(t, 1)
	r.W.PreFilterIn = func(*packet.Parsed, *tstun.Wrapper) filter.Response {
		t.Error("hook sees an injected packet")
		return filter.Drop
	}
	r.W.SetFilter(filter.NewAllowNone(nil))
	pkt := craft.UDP(peer4, 1, host4, 2, "payload")
	if err := r.W.InjectInboundCopy(pkt); err != nil {
		t.Fatal(err)
	}
	buf := append(make([]byte, offset+5), pkt...)
	if err := r.W.InjectInboundDirect(buf, offset+5); err != nil {
		t.Fatal(err)
	}
	released := 0
	if err := r.W.InjectInboundPacketBuffer(rig.PacketBuffer(bytes.Clone(pkt), &released)); err != nil {
		t.Fatal(err)
	}
	rig.WantPackets(t, "to the device", r.Dev.Written(), pkt, pkt, pkt)
	if released != 1 {
		t.Errorf("PacketBuffer released %d times", released)
	}
	if c := r.W.Counters(); c.In.Packets != 3 || c.In.Bytes != uint64(3*len(pkt)) {
		t.Errorf("counted %+v, want 3 packets of %d bytes", c.In, len(pkt))
	}
}

func TestInjectArguments(t *testing.T) {
	r := rig.New(t, 1)
	for name, err := range map[string]error{
		"InjectInboundCopy(nil)":         r.W.InjectInboundCopy(nil),
		"InjectInboundDirect of nothing": r.W.InjectInboundDirect(make([]byte, offset), offset),
		"InjectOutbound(nil)":            r.W.InjectOutbound(nil),
		"InjectOutbound of nothing":      r.W.InjectOutbound([]byte{}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	released := 0
	if err := r.W.InjectOutboundPacketBuffer(rig.PacketBuffer(nil, &released)); err != nil || released != 1 {
		t.Errorf("InjectOutboundPacketBuffer of nothing: %v, released %d times", err, released)
	}
	long := make([]byte, tstun.MaxPacketSize+1)
	for name, err := range map[string]error{
		"offset too small":                    r.W.InjectInboundDirect(make([]byte, 100), offset-1),
		"offset behind the buffer":            r.W.InjectInboundDirect(make([]byte, offset), offset+1),
		"InjectInboundDirect too long":        r.W.InjectInboundDirect(append(make([]byte, offset), long...), offset),
		"InjectInboundCopy too long":          r.W.InjectInboundCopy(long),
		"InjectOutbound too long":             r.W.InjectOutbound(long),
		"InjectOutboundPacketBuffer too long": r.W.InjectOutboundPacketBuffer(rig.PacketBuffer(long, &released)),
		"InjectInboundPacketBuffer too long":  r.W.InjectInboundPacketBuffer(rig.PacketBuffer(long, &released)),
	} {
		if err == nil || errors.Is(err, tstun.ErrClosed) {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
	if released != 3 {
		t.Errorf("%d PacketBuffers released, want 3", released)
	}
	if w := r.Dev.Written(); len(w) != 0 {
		t.Errorf("%d packets written", len(w))
	}
	if c := r.W.Counters(); c.Out.Packets != 0 || c.In.Packets != 0 {
		t.Errorf("counted %+v", c)
	}
	largest := make([]byte, tstun.MaxPacketSize)
	if err := r.W.InjectOutbound(largest); err != nil {
		t.Errorf("packet of MaxPacketSize: %v", err)
	}
	rig.WantPackets(t, "packet of MaxPacketSize", r.Read(1), largest)
}

// TestLesson04HookThatInjectsCannotDeadlock: Read's own goroutine fills the
// queue that only Read empties.
func TestLesson04HookThatInjectsCannotDeadlock(t *testing.T) {
	r := rig.New(t, 1)
	var full int
	r.W.PostFilterOut = func(p *packet.Parsed, w *tstun.Wrapper) filter.Response {
		for i := range 3000 {
			if err := w.InjectOutbound(craft.UDP(host4, uint16(i), peer4, 9, "injected")); errors.Is(err, tstun.ErrQueueFull) {
				full++
			} else if err != nil {
				t.Error(err)
			}
		}
		return filter.Accept
	}
	r.W.SetFilter(filter.NewAllowAll(nil))
	r.FromHost(craft.UDP(host4, 1, peer4, 2, "x"))
	if full == 0 || full == 3000 {
		t.Errorf("%d injections were refused, want some", full)
	}
	c := r.W.Counters()
	if c.QueueOverflows != uint64(full) || c.Out.Drops[filter.ReasonQueueFull] != uint64(full) {
		t.Errorf("%d overflows counted, %d dropped as queue-full; want %d", c.QueueOverflows, c.Out.Drops[filter.ReasonQueueFull], full)
	}
	if got := len(r.Read(3000 - full)); got != 3000-full {
		t.Errorf("%d injected packets came out, want %d", got, 3000-full)
	}
}

func TestLesson04RefusedFloodWithNobodyReading(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		for _, mode := range []tstun.Reject{tstun.RejectTSMP, tstun.RejectReset} {
			r := rig.New(t, 1)
			r.Allow(rig.To(rig.Port(80)))
			r.W.SetReject(mode)
			for i := range 5000 {
				r.FromPeer(craft.TCP(peer, uint16(i), host, 81, packet.TCPSyn, ""))
			}
			c := r.W.Counters()
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
	ways := map[string]func(r *rig.Rig, pkt []byte) [][]byte{
		"Read": func(r *rig.Rig, pkt []byte) [][]byte { return r.FromHost(pkt) },
		"InjectOutbound": func(r *rig.Rig, pkt []byte) [][]byte {
			if err := r.W.InjectOutbound(pkt); err != nil {
				r.T.Fatal(err)
			}
			return r.Read(1)
		},
		"InjectOutboundPacketBuffer": func(r *rig.Rig, pkt []byte) [][]byte {
			if err := r.W.InjectOutboundPacketBuffer(rig.PacketBuffer(pkt, &released)); err != nil {
				r.T.Fatal(err)
			}
			return r.Read(1)
		},
	}
	for way, send := range ways {
		for _, mode := range []string{"plain", "NAT", "jailed"} {
			t.Run(way+"/"+mode, func(t *testing.T) {
				rig.Families(t, func(t *testing.T, host, peer netip.Addr) { testReplies(t, send, mode, host, peer) })
			})
		}
	}
}

func testReplies(t *testing.T, send func(*rig.Rig, []byte) [][]byte, mode string, host, peer netip.Addr) {
	r := rig.New(t, 1)
	r.Allow(rig.To(rig.Port(80)))
	seen := host // the address by which the peer knows the host
	p := tstun.Peer{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, Jailed: mode == "jailed"}
	if mode == "NAT" {
		seen = craft.RandomAddr(host.Is6())
		p.NAT = []tstun.NAT{{Host: host, As: seen}}
	}
	if mode != "plain" {
		if err := r.W.SetPeers([]tstun.Peer{p}); err != nil {
			t.Fatal(err)
		}
	}
	rig.WantPackets(t, "unsolicited, before", r.FromPeer(craft.UDP(peer, 53, seen, 5000, "answer")))
	rig.WantPackets(t, "query", send(r, craft.UDP(host, 5000, peer, 53, "query")), craft.UDP(seen, 5000, peer, 53, "query"))
	rig.WantPackets(t, "reply", r.FromPeer(craft.UDP(peer, 53, seen, 5000, "answer")), craft.UDP(peer, 53, host, 5000, "answer"))
	rig.WantPackets(t, "from another port", r.FromPeer(craft.UDP(peer, 54, seen, 5000, "answer")))
	rig.WantPackets(t, "to another port", r.FromPeer(craft.UDP(peer, 53, seen, 5001, "answer")))
}
