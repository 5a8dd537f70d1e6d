package tstun_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// naiveSum is the Internet checksum, the slow way.
func naiveSum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for i := range b {
			if i%2 == 0 {
				sum += uint32(b[i]) << 8
			} else {
				sum += uint32(b[i])
			}
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// wantChecksums recomputes every checksum of a packet without extension
// headers from scratch: over a right one, the sum is all ones.
func wantChecksums(t *testing.T, b []byte) {
	t.Helper()
	var header int
	var addrs []byte
	var proto byte
	if b[0]>>4 == 6 {
		header, addrs, proto = 40, b[8:40], b[6]
	} else {
		header, addrs, proto = 20, b[12:20], b[9]
		if naiveSum(b[:20]) != 0xffff {
			t.Errorf("IPv4 header checksum is wrong: %x", b[:20])
		}
	}
	transport := b[header:]
	pseudo := binary.BigEndian.AppendUint32(append([]byte(nil), addrs...), uint32(len(transport)))
	pseudo = append(pseudo, 0, 0, 0, proto)
	switch ipproto.Proto(proto) {
	case ipproto.UDP:
		if transport[6] == 0 && transport[7] == 0 && b[0]>>4 == 4 {
			return
		}
	case ipproto.ICMPv4:
		pseudo = nil
	}
	if naiveSum(pseudo, transport) != 0xffff {
		t.Errorf("checksum of protocol %d is wrong: %x", proto, b)
	}
}

func natRig(t *testing.T, host, peer, as netip.Addr) *rig {
	r := newRig(t, 1)
	f, err := filter.New(filter.Config{Matches: []filter.Match{everything()}, Local: []netip.Prefix{netip.PrefixFrom(host, host.BitLen())}})
	if err != nil {
		t.Fatal(err)
	}
	r.w.SetFilter(f)
	p := tstun.Peer{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, NAT: []tstun.NAT{{Host: host, As: as}}}
	if err := r.w.SetPeers([]tstun.Peer{p}); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLesson02RewritesKeepChecksumsRight: addresses that differ in all their
// bytes, every checksum recomputed from scratch.
func TestLesson02RewritesKeepChecksumsRight(t *testing.T) {
	for i := range 200 {
		v6 := i%2 == 0
		host, peer, as := randomAddr(v6), randomAddr(v6), randomAddr(v6)
		r := natRig(t, host, peer, as)
		payload := strings.Repeat("z", rand.IntN(40))
		for name, build := range map[string]func(src, dst netip.Addr) []byte{
			"udp":  func(src, dst netip.Addr) []byte { return udp(src, 7, dst, 7, payload) },
			"tcp":  func(src, dst netip.Addr) []byte { return tcp(src, 7, dst, 7, packet.TCPSyn, payload) },
			"echo": func(src, dst netip.Addr) []byte { return echo(src, dst, 7, false) },
		} {
			out := r.fromHost(build(host, peer))
			wantPackets(t, name+" out", out, build(as, peer))
			in := r.fromPeer(build(peer, as))
			wantPackets(t, name+" in", in, build(peer, host))
			for _, b := range append(out, in...) {
				wantChecksums(t, b)
			}
		}
		r.w.Close()
	}
}

// TestLesson18NoUDPChecksumStaysNone also in the packets that ICMP errors
// quote.
func TestLesson18NoUDPChecksumStaysNone(t *testing.T) {
	as := randomAddr(false)
	r := natRig(t, host4, peer4, as)
	bare := func(src, dst netip.Addr) []byte {
		b := udp(src, 7, dst, 7, "payload")
		b[26], b[27] = 0, 0
		return b
	}
	wantPackets(t, "out", r.fromHost(bare(host4, peer4)), bare(as, peer4))
	wantPackets(t, "in", r.fromPeer(bare(peer4, as)), bare(peer4, host4))
}

// TestLesson18QuotesCrossNAT: an ICMP error about a translated packet must
// quote it as its sender knows it, or path-MTU discovery breaks.
func TestLesson18QuotesCrossNAT(t *testing.T) {
	for i := range 50 {
		v6 := i%2 == 0
		host, peer, as := randomAddr(v6), randomAddr(v6), randomAddr(v6)
		r := natRig(t, host, peer, as)
		tooBig := func(src, dst netip.Addr, quote []byte) []byte {
			h := packet.ICMPHeader{Src: src, Dst: dst, Type: 3, Code: 4}
			if v6 {
				h.Type, h.Code = 2, 0
			}
			binary.BigEndian.PutUint16(h.Rest[2:], 1000)
			return packet.Generate(h, quote)
		}
		sent := r.fromHost(udp(host, 5, peer, 6, "a long datagram"))
		in := r.fromPeer(tooBig(peer, as, sent[0]))
		wantPackets(t, "inbound error", in, tooBig(peer, host, udp(host, 5, peer, 6, "a long datagram")))

		got := r.fromPeer(udp(peer, 9, as, 9, "hello"))
		out := r.fromHost(tooBig(host, peer, got[0]))
		wantPackets(t, "outbound error", out, tooBig(as, peer, udp(peer, 9, as, 9, "hello")))
		for _, b := range append(in, out...) {
			wantChecksums(t, b)
		}
		r.w.Close()
	}
}

// TestLesson18QuoteOfAnErrorFromARouter: the error comes from another address
// than the packet was sent to, and quotes it as the peer knows it.
func TestLesson18QuoteOfAnErrorFromARouter(t *testing.T) {
	families(t, func(t *testing.T, _, _ netip.Addr) {
		v6 := strings.HasSuffix(t.Name(), "IPv6")
		host, peer, as, router := randomAddr(v6), randomAddr(v6), randomAddr(v6), randomAddr(v6)
		r := natRig(t, host, peer, as)
		h := packet.ICMPHeader{Src: router, Dst: peer, Type: 3, Code: 1}
		if v6 {
			h.Type, h.Code = 1, 0
		}
		got := r.fromPeer(udp(peer, 9, as, 9, "hello"))
		out := r.fromHost(packet.Generate(h, got[0]))
		wantPackets(t, "error", out, packet.Generate(h, udp(peer, 9, as, 9, "hello")))
	})
}

func TestNATIsForItsPeerAlone(t *testing.T) {
	as, other := netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("100.64.0.3")
	r := natRig(t, host4, peer4, as)
	wantPackets(t, "to another peer", r.fromHost(udp(host4, 1, other, 2, "x")), udp(host4, 1, other, 2, "x"))
	wantPackets(t, "from another address", r.fromHost(udp(other, 1, peer4, 2, "x")), udp(other, 1, peer4, 2, "x"))
	r.wantDrop(true, filter.ReasonNotLocal, func() { r.fromPeer(udp(other, 1, as, 2, "x")) })
	if err := r.w.SetPeers(nil); err != nil {
		t.Fatal(err)
	}
	wantPackets(t, "without peers", r.fromHost(udp(host4, 1, peer4, 2, "x")), udp(host4, 1, peer4, 2, "x"))
}

func TestJailedPeerOpensNothing(t *testing.T) {
	families(t, func(t *testing.T, host, peer netip.Addr) {
		r := newRig(t, 1)
		r.allow(everything())
		syn := tcp(peer, 1000, host, 80, packet.TCPSyn, "")
		wantPackets(t, "free", r.fromPeer(syn), syn)
		if err := r.w.SetPeers([]tstun.Peer{{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, Jailed: true}}); err != nil {
			t.Fatal(err)
		}
		r.wantDrop(true, filter.ReasonJailed, func() { r.fromPeer(tcp(peer, 1001, host, 80, packet.TCPSyn, "")) })
		r.wantDrop(true, filter.ReasonJailed, func() { r.fromPeer(echo(peer, host, 3, false)) })
		r.fromHost(tcp(host, 2000, peer, 80, packet.TCPSyn, ""))
		synAck := tcp(peer, 80, host, 2000, packet.TCPSynAck, "")
		wantPackets(t, "its answer", r.fromPeer(synAck), synAck)
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
		r := newRig(t, 1)
		if err := r.w.SetPeers(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: SetPeers = %v, want an error that names %q", tt.name, err, tt.want)
		}
	}
}
