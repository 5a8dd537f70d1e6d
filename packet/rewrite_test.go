package packet_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"tstun/ipproto"
	"tstun/packet"
)

// randomPacket returns a good packet of each protocol in turn, with random
// addresses, ports and payload.
func randomPacket(r *rand.Rand, i int, v6 bool) []byte {
	src, dst := randomAddr(r, v6), randomAddr(r, v6)
	from, to := netip.AddrPortFrom(src, uint16(r.Uint32())), netip.AddrPortFrom(dst, uint16(r.Uint32()))
	payload := randomBytes(r, r.IntN(200))
	switch i % 7 {
	case 0:
		return packet.Generate(packet.UDPHeader{Src: from, Dst: to}, payload)
	case 1:
		return packet.Generate(packet.TCPHeader{Src: from, Dst: to, Seq: r.Uint32(), Flags: packet.TCPAck}, payload)
	case 2:
		typ := uint8(8)
		if v6 {
			typ = 128
		}
		return packet.Generate(packet.ICMPHeader{Src: src, Dst: dst, Type: typ, Rest: [4]byte(randomBytes(r, 4))}, payload)
	case 3:
		return packet.Generate(packet.IPHeader{Src: src, Dst: dst, Proto: ipproto.SCTP}, append(make([]byte, 12), payload...))
	case 4:
		return packet.Generate(packet.IPHeader{Src: src, Dst: dst, Proto: ipproto.GRE}, payload)
	case 5: // UDP-Lite and DCCP have their checksum where UDP has it
		proto := ipproto.Proto([]uint8{33, 136}[r.IntN(2)])
		b := packet.Generate(packet.IPHeader{Src: src, Dst: dst, Proto: proto}, append(make([]byte, 8), payload...))
		t := b[len(b)-8-len(payload):]
		l := slowLayout(b)
		binary.BigEndian.PutUint16(t[6:], 1) // not 0, for the sum to be taken
		sum := slowTransportSum(b, l)
		binary.BigEndian.PutUint16(t[6:], ^slowSum([]byte{byte(sum >> 8), byte(sum)}, []byte{0xff, 0xfe}))
		return b
	}
	b := packet.Generate(packet.UDPHeader{Src: from, Dst: to}, payload) // without checksum
	b[len(b)-len(payload)-2], b[len(b)-len(payload)-1] = 0, 0
	return b
}

// dressed returns b behind IP options, extension headers or a trailing byte.
func dressed(r *rand.Rand, b []byte) []byte {
	switch r.IntN(3) {
	case 0:
		return append(bytes.Clone(b), 0x99)
	case 1:
		if b[0]>>4 == 6 {
			return withExtensions(b, ext(0, 1), ext(60, 2), extension{kind: 51, body: make([]byte, 10)}, frag(0, false))
		}
		b = options4(b, 12)
		fixIPv4Checksum(b)
	}
	return b
}

// rewrite sets both addresses of b in place and returns b as it then parses.
func rewrite(t *testing.T, b []byte, src, dst netip.Addr) *packet.Parsed {
	t.Helper()
	var p, again packet.Parsed
	p.Decode(b)
	was, before := p.String(), bytes.Clone(b)
	if !p.SetSrcAddr(src) || !p.SetDstAddr(dst) {
		t.Fatalf("no rewriting of %s to %v, %v", was, src, dst)
	}
	again.Decode(b)
	if describe(&again) != describe(&p) {
		t.Fatalf("after rewriting %s:\n      p %+v\ndecoded %+v", was, describe(&p), describe(&again))
	}
	if p.Src.Addr() != src || p.Dst.Addr() != dst {
		t.Fatalf("after rewriting: %v, want %v > %v", p.String(), src, dst)
	}
	if got, want := withoutRewritten(b), withoutRewritten(before); !bytes.Equal(got, want) {
		t.Fatalf("rewriting changed more than addresses and checksums:\n got % x\nwant % x", got, want)
	}
	return &p
}

// withoutRewritten returns the good packet b with its addresses and checksums
// blanked. A wrong checksum field would go unnoticed otherwise: an update
// keeps the sum right wherever it is written.
func withoutRewritten(b []byte) []byte {
	b = bytes.Clone(b)
	if b[0]>>4 == 4 {
		clear(b[10:20])
	} else {
		clear(b[8:40])
	}
	l := slowLayout(b)
	at, ok := map[uint8]int{6: 16, 17: 6, 33: 6, 136: 6, 58: 2}[l.proto]
	if ok && len(l.transport) >= at+2 {
		clear(l.transport[at : at+2])
	}
	return b
}

// TestRewriteChecksums is row 2 of docs/lessons.md: after each rewrite all checksums
// are summed anew, with addresses random in all their bytes.
func TestRewriteChecksums(t *testing.T) {
	r := newRand()
	for i := range 20000 {
		v6 := r.IntN(2) == 0
		b := dressed(r, randomPacket(r, i, v6))
		wantChecksums(t, b)
		before := bytes.Clone(b)
		rewrite(t, b, randomAddr(r, v6), randomAddr(r, v6))
		wantChecksums(t, b)
		if t.Failed() {
			t.Fatalf("was % x", before)
		}
		var p packet.Parsed
		p.Decode(before)
		rewrite(t, b, p.Src.Addr(), p.Dst.Addr())
		wantSameButChecksums(t, b, before)
	}
}

// wantSameButChecksums compares packets that may differ in the two ways to
// write a checksum of zero.
func wantSameButChecksums(t *testing.T, got, want []byte) {
	t.Helper()
	wantChecksums(t, got)
	for i := range got {
		if got[i] != want[i] && (want[i] != 0 && want[i] != 0xff || got[i] != ^want[i]) {
			t.Fatalf("there and back, byte %d is %#x:\n got % x\nwant % x", i, got[i], got, want)
		}
	}
}

// TestRewriteUDPChecksumZero is row 18 of docs/lessons.md.
func TestRewriteUDPChecksumZero(t *testing.T) {
	r := newRand()
	for _, b := range [][]byte{udp4(9), udp6(9)} {
		sum := b[len(b)-11 : len(b)-9]
		sum[0], sum[1] = 0, 0
		v6 := len(b) > 50
		rewrite(t, b, randomAddr(r, v6), randomAddr(r, v6))
		if sum[0] != 0 || sum[1] != 0 {
			t.Errorf("a UDP checksum of 0 became % x", sum)
		}
	}
	// All second halves of an address: some make the checksum 0.
	b, seen := udp4(4), false
	var p packet.Parsed
	p.Decode(b)
	for i := range 1 << 16 {
		if !p.SetSrcAddr(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})) {
			t.Fatal("no rewriting")
		}
		if b[26] == 0 && b[27] == 0 {
			t.Fatal("a computed checksum of 0 was written as none")
		}
		seen = seen || b[26] == 0xff && b[27] == 0xff
	}
	if !seen {
		t.Error("no address made the checksum 0xffff; the test tests nothing")
	}
	wantChecksums(t, b)
}

// TestRewriteKeepsWrongChecksums: a broken packet may not be mended on the way.
func TestRewriteKeepsWrongChecksums(t *testing.T) {
	b := tcp4(11)
	b[10] ^= 0x55
	b[36] ^= 0x55
	rewrite(t, b, dst4.Addr(), src4.Addr())
	if ipOK, tcpOK := slowChecksums(b); ipOK || tcpOK {
		t.Errorf("wrong checksums became right: IP %v, TCP %v", ipOK, tcpOK)
	}
}

// TestRewriteFragments: the checksum in a first fragment covers data that are
// not there, so it is compared with what the whole datagram has.
func TestRewriteFragments(t *testing.T) {
	r := newRand()
	for _, tt := range []struct {
		name   string
		packet []byte
		head   int // where the fragmentable part begins
	}{{"UDP4", udp4(40), 20}, {"TCP4", tcp4(44), 20}, {"UDP6", udp6(40), 40}, {"TCP6", tcp6(44), 40},
		{"ICMPv6", packet.Generate(packet.ICMPHeader{Src: src6.Addr(), Dst: dst6.Addr(), Type: 128}, make([]byte, 40)), 40}} {
		v6 := tt.head == 40
		src, dst := randomAddr(r, v6), randomAddr(r, v6)
		first := asFragment(cut(tt.packet, len(tt.packet)-8), 0, true)
		last := asFragment(append(bytes.Clone(tt.packet[:tt.head]), tt.packet[len(tt.packet)-8:]...), len(tt.packet)-8-tt.head, false)
		tail := bytes.Clone(last[len(last)-8:])
		whole := bytes.Clone(tt.packet)
		rewrite(t, whole, src, dst)
		p := rewrite(t, first, src, dst)
		rewrite(t, last, src, dst)
		wantChecksums(t, whole)
		wantChecksums(t, first)
		wantChecksums(t, last)
		if !bytes.Equal(p.Transport(), whole[tt.head:len(whole)-8]) {
			t.Errorf("%s: first fragment\n got % x\nwant % x", tt.name, p.Transport(), whole[tt.head:len(whole)-8])
		}
		if !bytes.Equal(last[len(last)-8:], tail) {
			t.Errorf("%s: the data of a later fragment changed: % x", tt.name, last)
		}
	}
}

// asFragment returns the fragment of b's datagram that b's payload is.
func asFragment(b []byte, offset int, more bool) []byte {
	if b[0]>>4 == 4 {
		return fragment4(cut(b, len(b)), offset, more)
	}
	return withExtensions(b, frag(offset, more))
}

func TestRewriteRefuses(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		a    netip.Addr
	}{
		{"IPv6 address in IPv4", udp4(0), src6.Addr()},
		{"IPv4 address in IPv6", udp6(0), src4.Addr()},
		{"mapped address in IPv4", udp4(0), netip.MustParseAddr("::ffff:192.0.2.1")},
		{"no address", udp4(0), netip.Addr{}},
		{"malformed", udp4(0)[:10], src4.Addr()},
		{"truncated", cut(udp4(0), 22), src4.Addr()},
		{"tiny fragment", fragment4(tcp4(4), 8, true), src4.Addr()},
		{"extension headers", withExtensions(udp6(0), routing(0, 0)), src6.Addr()},
	}
	for _, tt := range tests {
		before := bytes.Clone(tt.in)
		var p packet.Parsed
		p.Decode(tt.in)
		was := describe(&p)
		if p.SetSrcAddr(tt.a) || p.SetDstAddr(tt.a) || !bytes.Equal(tt.in, before) || describe(&p) != was {
			t.Errorf("%s: rewritten to %v", tt.name, p.String())
		}
	}
}

func TestRewriteZone(t *testing.T) {
	b := tcp6(3)
	var p packet.Parsed
	p.Decode(b)
	if !p.SetSrcAddr(netip.MustParseAddr("fe80::1%eth0")) || p.Src.Addr() != netip.MustParseAddr("fe80::1") {
		t.Errorf("SetSrcAddr with a zone: %v", p.Src)
	}
	wantChecksums(t, b)
}
