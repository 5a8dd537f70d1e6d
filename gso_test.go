package tstun_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

// superPacket returns a TCP super-packet of gVisor's with that much payload,
// and the payload.
func superPacket(src, dst netip.Addr, mss, size int, released *int) (*stack.PacketBuffer, []byte) {
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i * 31)
	}
	b := craft.TCP(src, 1000, dst, 80, packet.TCPAck|packet.TCPPsh, string(payload))
	g := stack.GSO{Type: stack.GSOTCPv4, NeedsCsum: true, CsumOffset: 16, MSS: uint16(mss), L3HdrLen: 20, MaxSize: 1 << 16}
	if src.Is6() {
		g.Type, g.L3HdrLen = stack.GSOTCPv6, 40
	}
	return rig.GSOBuffer(b, g, func() { *released++ }), payload
}

// wantSegments checks that the packets are right in every checksum and carry
// the payload in order.
func wantSegments(t *testing.T, segs [][]byte, src, dst netip.Addr, payload []byte) {
	t.Helper()
	var got []byte
	for i, s := range segs {
		p := rig.Parse(t, s)
		if p.IPProto != ipproto.TCP || p.Src.Addr() != src || p.Dst.Addr() != dst {
			t.Fatalf("segment %d is %v", i, p)
		}
		craft.WantChecksums(t, s)
		got = append(got, p.Payload()...)
	}
	if !bytes.Equal(got, payload) {
		t.Errorf("%d segments carry %d bytes that are not the %d sent", len(segs), len(got), len(payload))
	}
}

// TestLesson06EverySegmentCountAroundTheBuffers: super-packets of any number
// of segments fit into any number of buffers, over as many Reads as it takes.
func TestLesson06EverySegmentCountAroundTheBuffers(t *testing.T) {
	const mss = 111
	as := map[bool]netip.Addr{false: craft.RandomAddr(false), true: craft.RandomAddr(true)}
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		for _, nat := range []bool{false, true} {
			for _, batch := range []int{1, 2, 3, 8} {
				for segments := 1; segments <= 2*batch+2; segments++ {
					for _, size := range []int{segments*mss - 1, segments * mss, (segments-1)*mss + 1} {
						r := rig.New(t, batch)
						r.W.SetFilter(filter.NewAllowAll(nil))
						src := host
						if nat {
							src = as[host.Is6()]
							p := tstun.Peer{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, NAT: []tstun.NAT{{Host: host, As: src}}}
							if err := r.W.SetPeers([]tstun.Peer{p}); err != nil {
								t.Fatal(err)
							}
						}
						released := 0
						pkt, payload := superPacket(host, peer, mss, size, &released)
						if err := r.W.InjectOutboundPacketBuffer(pkt); err != nil {
							t.Fatal(err)
						}
						segs := r.Read(segments)
						if len(segs) != segments || released != 1 {
							t.Fatalf("%d segments, released %d times; want %d and once", len(segs), released, segments)
						}
						wantSegments(t, segs, src, peer, payload)
						r.W.Close()
					}
				}
			}
		}
	})
}

func TestLesson06SuperPacketToTheHost(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		for _, size := range []int{1, 1219, 1220, 1221, 64_001} {
			r := rig.New(t, 4)
			released := 0
			pkt, payload := superPacket(peer, host, 1220, size, &released)
			if err := r.W.InjectInboundPacketBuffer(pkt); err != nil {
				t.Fatal(err)
			}
			wantSegments(t, r.Dev.Written(), peer, host, payload)
			if released != 1 {
				t.Errorf("PacketBuffer released %d times", released)
			}
			segments := uint64((size + 1219) / 1220)
			if c := r.W.Counters(); c.In.Packets != segments {
				t.Errorf("%d packets counted, want %d", c.In.Packets, segments)
			}
		}
	})
}

func TestBadSuperPacketIsRefused(t *testing.T) {
	r := rig.New(t, 1)
	r.W.SetFilter(filter.NewAllowAll(nil))
	for i, g := range []stack.GSO{
		{Type: stack.GSOTCPv4, MSS: 0, L3HdrLen: 20},
		{Type: stack.GSOTCPv4, MSS: 100, L3HdrLen: 2000},
		{Type: stack.GSOType(77), MSS: 100, L3HdrLen: 20},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			released := 0
			in, _ := superPacket(peer4, host4, 100, 500, &released)
			in.GSOOptions = g
			if err := r.W.InjectInboundPacketBuffer(in); err == nil || released != 1 {
				t.Errorf("inbound: %v, released %d times; want an error, once", err, released)
			}
			out, _ := superPacket(host4, peer4, 100, 500, &released)
			out.GSOOptions = g
			if g.Type == stack.GSOTCPv4 && g.MSS > 0 { // only its bytes tell
				r.WantDrop(false, filter.ReasonMalformed, func() {
					if err := r.W.InjectOutboundPacketBuffer(out); err != nil {
						t.Fatal(err)
					}
					r.Dev.Send([]byte{})
					r.Read(1)
				})
			} else if err := r.W.InjectOutboundPacketBuffer(out); err == nil {
				t.Error("outbound: no error")
			}
			if released != 2 {
				t.Errorf("PacketBuffers released %d times, want 2", released)
			}
		})
	}
}

func TestPacketsThatGVisorCutItselfPass(t *testing.T) {
	r := rig.New(t, 1)
	released := 0
	want := craft.TCP(host4, 1, peer4, 2, packet.TCPAck, "data")
	for _, inject := range []func(*stack.PacketBuffer) error{r.W.InjectOutboundPacketBuffer, r.W.InjectInboundPacketBuffer} {
		pkt := rig.PacketBuffer(bytes.Clone(want), &released)
		pkt.GSOOptions = stack.GSO{Type: stack.GSOGvisor, MSS: 1200, L3HdrLen: 20}
		if err := inject(pkt); err != nil {
			t.Fatal(err)
		}
	}
	rig.WantPackets(t, "out", r.Read(1), want)
	rig.WantPackets(t, "in", r.Dev.Written(), want)
}

func TestSuperPacketThatDoesNotFitIsCountedWhole(t *testing.T) {
	r := rig.New(t, 1)
	r.Bufs[0] = r.Bufs[0][:offset+100]
	released := 0
	pkt, _ := superPacket(host4, peer4, 111, 1110, &released)
	small := craft.UDP(host4, 1, peer4, 2, "x")
	if err := r.W.InjectOutboundPacketBuffer(pkt); err != nil {
		t.Fatal(err)
	}
	if err := r.W.InjectOutbound(bytes.Clone(small)); err != nil {
		t.Fatal(err)
	}
	rig.WantPackets(t, "out", r.Read(1), small)
	if n := r.W.Counters().Out.Drops[filter.ReasonTooLarge]; n != 10 {
		t.Errorf("%d packets dropped as too large, want 10", n)
	}
}

func TestSegmentsLongerThanAPacketAreRefused(t *testing.T) {
	r := rig.New(t, 1)
	released := 0
	pkt, _ := superPacket(host4, peer4, 65_500, 65_490, &released)
	if err := r.W.InjectOutboundPacketBuffer(pkt); err == nil || released != 1 {
		t.Errorf("InjectOutboundPacketBuffer: %v, released %d times; want an error, once", err, released)
	}
}

func TestInjectionAndHostTakeTurns(t *testing.T) {
	r := rig.New(t, 4)
	r.W.SetFilter(filter.NewAllowAll(nil))
	r.FromHost(craft.UDP(host4, 1, peer4, 2, "first"))
	r.Dev.Send(craft.UDP(host4, 1, peer4, 2, "host"))
	for {
		// Read until the pump has the host's packet ready: it comes out
		// although there is always something injected.
		if err := r.W.InjectOutbound(craft.UDP(host4, 3, peer4, 4, "injected")); err != nil {
			t.Fatal(err)
		}
		if p := rig.Parse(t, r.Read(1)[0]); p.Src.Port() == 1 {
			return
		}
	}
}
