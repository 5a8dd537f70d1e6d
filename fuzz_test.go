package tstun_test

import (
	"bytes"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

func fuzzSeeds(f *testing.F) {
	for _, b := range [][]byte{
		nil,
		{0x45},
		craft.UDP(peer4, 1, host4, 80, "payload"),
		craft.TCP(peer6, 1, host6, 80, packet.TCPSyn, ""),
		craft.Echo(peer4, host4, 3, false),
		craft.Fragment(craft.UDP(peer6, 1, host6, 80, "0123456789abcdef"), 0, 16, true),
		packet.Generate(packet.TSMPPing{IPHeader: packet.IPHeader{Src: peer4, Dst: host4}}, nil),
		craft.Fragment(craft.UDP(peer4, 1, host4, 2, "a payload to be cut"), 16, 8, false),
		packet.Generate(packet.ICMPHeader{Src: peer4, Dst: host4, Type: 3, Code: 1}, craft.UDP(host4, 1, peer4, 2, "x")),
	} {
		f.Add(b, uint8(0))
		f.Add(b, uint8(0xff))
	}
}

// fuzzRig is a Wrapper with everything switched on that bits ask for.
func fuzzRig(t *testing.T, bits uint8) *rig.Rig {
	r := rig.New(t, 2)
	r.W.SetStatisticsEnabled(true)
	r.W.SetReject(tstun.Reject(bits & 3))
	hook := func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
		_ = p.String()
		return filter.Accept
	}
	r.W.PreFilterIn, r.W.PostFilterIn, r.W.PostFilterOut = hook, hook, hook
	if bits&4 != 0 {
		r.Allow(rig.To(rig.Port(80)))
	} else {
		r.W.SetFilter(filter.NewAllowAll(nil))
	}
	if bits&8 != 0 {
		p := tstun.Peer{Prefixes: rig.Local(), NAT: []tstun.NAT{{Host: host4, As: peer4}, {Host: host6, As: peer6}}, Jailed: bits&16 != 0}
		if err := r.W.SetPeers([]tstun.Peer{p}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// wantAccounted checks that each packet passed, was dropped for one reason, or
// is held.
func wantAccounted(t *testing.T, what string, c tstun.DirectionCounters, want uint64) {
	t.Helper()
	if got := c.Packets + c.Dropped() + c.Held; got != want {
		t.Fatalf("%s: %d packets accounted for, want %d: %+v", what, got, want, c)
	}
}

// FuzzWrite: arbitrary bytes from a peer, twice, since state may differ.
func FuzzWrite(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte, bits uint8) {
		r := fuzzRig(t, bits)
		defer r.W.Close()
		for range 2 {
			for _, p := range r.FromPeer(bytes.Clone(b)) {
				if len(p) > len(b) || len(p) < 20 {
					t.Fatalf("a packet of %d bytes became one of %d", len(b), len(p))
				}
			}
		}
		wantAccounted(t, "in", r.W.Counters().In, 2)
	})
}

// FuzzRead: arbitrary bytes from the host, and the same injected.
func FuzzRead(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte, bits uint8) {
		if len(b) == 0 || len(b) > tstun.MaxPacketSize {
			return
		}
		r := fuzzRig(t, bits)
		defer r.W.Close()
		for _, p := range r.FromHost(bytes.Clone(b), bytes.Clone(b)) {
			if len(p) > len(b) || len(p) < 20 {
				t.Fatalf("a packet of %d bytes became one of %d", len(b), len(p))
			}
		}
		wantAccounted(t, "out", r.W.Counters().Out, 2)
		if err := r.W.InjectOutbound(bytes.Clone(b)); err != nil {
			t.Fatal(err)
		}
		if got := r.Read(1); len(got) != 1 {
			t.Fatalf("%d packets came of one injected", len(got))
		}
		if err := r.W.InjectInboundCopy(b); err != nil {
			t.Fatal(err)
		}
		wantAccounted(t, "out", r.W.Counters().Out, 3)
		wantAccounted(t, "in", r.W.Counters().In, 1)
	})
}
