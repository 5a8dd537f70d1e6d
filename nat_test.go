package tstun_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

func natRig(t *testing.T, host, peer, as netip.Addr) *rig.Rig {
	r := rig.New(t, 1)
	f, err := filter.New(filter.Config{Matches: []filter.Match{rig.Everything()}, Local: []netip.Prefix{netip.PrefixFrom(host, host.BitLen())}})
	if err != nil {
		t.Fatal(err)
	}
	r.W.SetFilter(f)
	p := tstun.Peer{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, NAT: []tstun.NAT{{Host: host, As: as}}}
	if err := r.W.SetPeers([]tstun.Peer{p}); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLesson02RewritesKeepChecksumsRight: addresses that differ in all their
// bytes, every checksum recomputed from scratch.
func TestLesson02RewritesKeepChecksumsRight(t *testing.T) {
	for i := range 200 {
		v6 := i%2 == 0
		host, peer, as := craft.RandomAddr(v6), craft.RandomAddr(v6), craft.RandomAddr(v6)
		r := natRig(t, host, peer, as)
		payload := strings.Repeat("z", rand.IntN(40))
		for name, build := range map[string]func(src, dst netip.Addr) []byte{
			"udp":  func(src, dst netip.Addr) []byte { return craft.UDP(src, 7, dst, 7, payload) },
			"tcp":  func(src, dst netip.Addr) []byte { return craft.TCP(src, 7, dst, 7, packet.TCPSyn, payload) },
			"echo": func(src, dst netip.Addr) []byte { return craft.Echo(src, dst, 7, false) },
		} {
			out := r.FromHost(build(host, peer))
			rig.WantPackets(t, name+" out", out, build(as, peer))
			in := r.FromPeer(build(peer, as))
			rig.WantPackets(t, name+" in", in, build(peer, host))
			for _, b := range append(out, in...) {
				craft.WantChecksums(t, b)
			}
		}
		r.W.Close()
	}
}

// TestLesson18NoUDPChecksumStaysNone also in the packets that ICMP errors
// quote.
func TestLesson18NoUDPChecksumStaysNone(t *testing.T) {
	as := craft.RandomAddr(false)
	r := natRig(t, host4, peer4, as)
	bare := func(src, dst netip.Addr) []byte {
		b := craft.UDP(src, 7, dst, 7, "payload")
		b[26], b[27] = 0, 0
		return b
	}
	rig.WantPackets(t, "out", r.FromHost(bare(host4, peer4)), bare(as, peer4))
	rig.WantPackets(t, "in", r.FromPeer(bare(peer4, as)), bare(peer4, host4))
}

// TestLesson18QuotesCrossNAT: an ICMP error about a translated packet must
// quote it as its sender knows it, or path-MTU discovery breaks.
func TestLesson18QuotesCrossNAT(t *testing.T) {
	for i := range 50 {
		v6 := i%2 == 0
		host, peer, as := craft.RandomAddr(v6), craft.RandomAddr(v6), craft.RandomAddr(v6)
		r := natRig(t, host, peer, as)
		tooBig := func(src, dst netip.Addr, quote []byte) []byte {
			h := packet.ICMPHeader{Src: src, Dst: dst, Type: 3, Code: 4}
			if v6 {
				h.Type, h.Code = 2, 0
			}
			binary.BigEndian.PutUint16(h.Rest[2:], 1000)
			return packet.Generate(h, quote)
		}
		sent := r.FromHost(craft.UDP(host, 5, peer, 6, "a long datagram"))
		in := r.FromPeer(tooBig(peer, as, sent[0]))
		rig.WantPackets(t, "inbound error", in, tooBig(peer, host, craft.UDP(host, 5, peer, 6, "a long datagram")))

		got := r.FromPeer(craft.UDP(peer, 9, as, 9, "hello"))
		out := r.FromHost(tooBig(host, peer, got[0]))
		rig.WantPackets(t, "outbound error", out, tooBig(as, peer, craft.UDP(peer, 9, as, 9, "hello")))
		for _, b := range append(in, out...) {
			craft.WantChecksums(t, b)
		}
		r.W.Close()
	}
}

// TestLesson18QuoteOfAnErrorFromARouter: the error comes from another address
// than the packet was sent to, and quotes it as the peer knows it.
func TestLesson18QuoteOfAnErrorFromARouter(t *testing.T) {
	rig.Families(t, func(t *testing.T, _, _ netip.Addr) {
		v6 := strings.HasSuffix(t.Name(), "IPv6")
		host, peer, as, router := craft.RandomAddr(v6), craft.RandomAddr(v6), craft.RandomAddr(v6), craft.RandomAddr(v6)
		r := natRig(t, host, peer, as)
		h := packet.ICMPHeader{Src: router, Dst: peer, Type: 3, Code: 1}
		if v6 {
			h.Type, h.Code = 1, 0
		}
		got := r.FromPeer(craft.UDP(peer, 9, as, 9, "hello"))
		out := r.FromHost(packet.Generate(h, got[0]))
		rig.WantPackets(t, "error", out, packet.Generate(h, craft.UDP(peer, 9, as, 9, "hello")))
	})
}

func TestNATIsForItsPeerAlone(t *testing.T) {
	as, other := netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("100.64.0.3")
	r := natRig(t, host4, peer4, as)
	rig.WantPackets(t, "to another peer", r.FromHost(craft.UDP(host4, 1, other, 2, "x")), craft.UDP(host4, 1, other, 2, "x"))
	rig.WantPackets(t, "from another address", r.FromHost(craft.UDP(other, 1, peer4, 2, "x")), craft.UDP(other, 1, peer4, 2, "x"))
	r.WantDrop(true, filter.ReasonNotLocal, func() { r.FromPeer(craft.UDP(other, 1, as, 2, "x")) })
	if err := r.W.SetPeers(nil); err != nil {
		t.Fatal(err)
	}
	rig.WantPackets(t, "without peers", r.FromHost(craft.UDP(host4, 1, peer4, 2, "x")), craft.UDP(host4, 1, peer4, 2, "x"))
}

func TestJailedPeerOpensNothing(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 1)
		r.Allow(rig.Everything())
		syn := craft.TCP(peer, 1000, host, 80, packet.TCPSyn, "")
		rig.WantPackets(t, "free", r.FromPeer(syn), syn)
		if err := r.W.SetPeers([]tstun.Peer{{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, Jailed: true}}); err != nil {
			t.Fatal(err)
		}
		r.WantDrop(true, filter.ReasonJailed, func() { r.FromPeer(craft.TCP(peer, 1001, host, 80, packet.TCPSyn, "")) })
		r.WantDrop(true, filter.ReasonJailed, func() { r.FromPeer(craft.Echo(peer, host, 3, false)) })
		r.FromHost(craft.TCP(host, 2000, peer, 80, packet.TCPSyn, ""))
		synAck := craft.TCP(peer, 80, host, 2000, packet.TCPSynAck, "")
		rig.WantPackets(t, "its answer", r.FromPeer(synAck), synAck)
	})
}

func TestSetPeersRefuses(t *testing.T) {
	p32 := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	tests := []struct {
		name string
		in   []tstun.Peer
		want string
	}{
		{"bad prefix", []tstun.Peer{{Prefixes: []netip.Prefix{{}}}}, "peer 0"},
		{"mapped prefix", []tstun.Peer{{}, {Prefixes: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.1/128")}}}, "peer 1"},
		{"prefix twice", []tstun.Peer{{Prefixes: p32}, {Prefixes: p32}}, "peer 1"},
		{"no address", []tstun.Peer{{NAT: []tstun.NAT{{Host: a}}}}, "peer 0"},
		{"two families", []tstun.Peer{{NAT: []tstun.NAT{{Host: a, As: host6}}}}, "peer 0"},
		{"host twice", []tstun.Peer{{NAT: []tstun.NAT{{Host: a, As: b}, {Host: a, As: a}}}}, "peer 0"},
		{"alias twice", []tstun.Peer{{NAT: []tstun.NAT{{Host: a, As: b}, {Host: b, As: b}}}}, "peer 0"},
	}
	for _, tt := range tests {
		r := rig.New(t, 1)
		if err := r.W.SetPeers(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: SetPeers = %v, want an error that names %q", tt.name, err, tt.want)
		}
	}
}
