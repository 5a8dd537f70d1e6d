package packet_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"tstun/ipproto"
	"tstun/packet"
)

// echoBetween returns an echo request.
func echoBetween(src, dst string) []byte {
	h := packet.ICMPHeader{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Type: 8, Rest: [4]byte{1, 2, 3, 4}}
	if h.Src.Is6() {
		h.Type = 128
	}
	return packet.Generate(h, []byte("echo this"))
}

func synBetween(src, dst string) []byte {
	h := packet.TCPHeader{Flags: packet.TCPSyn, Seq: 9}
	h.Src = netip.AddrPortFrom(netip.MustParseAddr(src), 1234)
	h.Dst = netip.AddrPortFrom(netip.MustParseAddr(dst), 80)
	return packet.Generate(h, nil)
}

// notBetweenHosts are pairs of addresses that get no answer of any kind.
var notBetweenHosts = []struct{ src, dst string }{
	{"224.0.0.1", "192.0.2.1"},
	{"192.0.2.1", "224.0.0.1"},
	{"192.0.2.1", "255.255.255.255"},
	{"255.255.255.255", "192.0.2.1"},
	{"240.0.0.1", "192.0.2.1"},
	{"0.0.0.0", "192.0.2.1"},
	{"192.0.2.1", "0.0.0.0"},
	{"127.0.0.1", "192.0.2.1"},
	{"::", "2001:db8::1"},
	{"2001:db8::1", "::"},
	{"ff02::1", "2001:db8::1"},
	{"2001:db8::1", "ff02::1"},
	{"::1", "2001:db8::1"},
	{"::ffff:224.0.0.1", "2001:db8::1"},
	{"::ffff:0.0.0.0", "2001:db8::1"},
	{"2001:db8::1", "::ffff:255.255.255.255"},
}

func TestNoAnswers(t *testing.T) {
	for _, tt := range notBetweenHosts {
		var p packet.Parsed
		p.Decode(echoBetween(tt.src, tt.dst))
		if b, ok := p.EchoReply(); ok || b != nil {
			t.Errorf("EchoReply to %v", p.String())
		}
		if b, ok := p.AdminProhibited(); ok || b != nil {
			t.Errorf("AdminProhibited to %v", p.String())
		}
		p.Decode(synBetween(tt.src, tt.dst))
		if b, ok := p.TCPReset(); ok || b != nil {
			t.Errorf("TCPReset to %v", p.String())
		}
	}
}

func TestEchoReply(t *testing.T) {
	for _, in := range [][]byte{
		echoBetween("192.0.2.1", "198.51.100.2"),
		echoBetween("2001:db8::1", "2001:db8:1::2"),
		append(options4(echoBetween("192.0.2.1", "198.51.100.2"), 8), 0xee),
		withExtensions(echoBetween("2001:db8::1", "2001:db8:1::2"), ext(0, 1), frag(0, false)),
	} {
		var p, q packet.Parsed
		p.Decode(in)
		b, ok := p.EchoReply()
		if !ok {
			t.Fatalf("no EchoReply to %v", p.String())
		}
		q.Decode(b)
		wantChecksums(t, b)
		if !q.IsEchoResponse() || q.Src.Addr() != p.Dst.Addr() || q.Dst.Addr() != p.Src.Addr() {
			t.Errorf("EchoReply to %v is %v", p.String(), q.String())
		}
		if !bytes.Equal(q.Transport()[4:], p.Transport()[4:]) || q.EchoID() != 0x0102 {
			t.Errorf("EchoReply: % x, want identifier, number and data of % x", q.Transport(), p.Transport())
		}
	}
	echo := echoBetween("192.0.2.1", "198.51.100.2")
	fragment := fragment4(cut(echo, 36), 0, true)
	for _, in := range [][]byte{udp4(8), edit(echo, 20, 0), edit(echo, 20, 3), fragment, cut(echo, 27), nil} {
		var p packet.Parsed
		p.Decode(in)
		if _, ok := p.EchoReply(); ok {
			t.Errorf("EchoReply to %v", p.String())
		}
	}
}

func TestTCPReset(t *testing.T) {
	const seq, ack = 0xfffffffe, 0x01020304
	tests := []struct {
		name      string
		flags     packet.TCPFlag
		payload   int
		ok        bool
		wantFlags packet.TCPFlag
		wantSeq   uint32
		wantAck   uint32
	}{
		{"SYN", packet.TCPSyn, 0, true, packet.TCPRst | packet.TCPAck, 0, 0xffffffff},
		{"SYN with data wraps", packet.TCPSyn, 10, true, packet.TCPRst | packet.TCPAck, 0, 9},
		{"FIN", packet.TCPFin, 0, true, packet.TCPRst | packet.TCPAck, 0, 0xffffffff},
		{"no flags, data", 0, 5, true, packet.TCPRst | packet.TCPAck, 0, 3},
		{"SYN and FIN", packet.TCPSyn | packet.TCPFin, 0, true, packet.TCPRst | packet.TCPAck, 0, 0},
		{"ACK", packet.TCPAck, 0, true, packet.TCPRst, ack, 0},
		{"SYN and ACK", packet.TCPSynAck, 0, true, packet.TCPRst, ack, 0},
		{"data", packet.TCPAck | packet.TCPPsh, 100, true, packet.TCPRst, ack, 0},
		{"RST", packet.TCPRst, 0, false, 0, 0, 0},
		{"RST and ACK", packet.TCPRst | packet.TCPAck, 0, false, 0, 0, 0},
	}
	for _, tt := range tests {
		for _, ends := range [][2]netip.AddrPort{{src4, dst4}, {src6, dst6}} {
			h := packet.TCPHeader{Src: ends[0], Dst: ends[1], Seq: seq, Ack: ack, Flags: tt.flags}
			var p, q packet.Parsed
			p.Decode(packet.Generate(h, make([]byte, tt.payload)))
			b, ok := p.TCPReset()
			if ok != tt.ok {
				t.Errorf("%s: TCPReset %v, want %v", tt.name, ok, tt.ok)
			}
			if !ok {
				continue
			}
			wantChecksums(t, b)
			q.Decode(b)
			gotSeq, gotAck := binary.BigEndian.Uint32(q.Transport()[4:]), binary.BigEndian.Uint32(q.Transport()[8:])
			if q.Src != p.Dst || q.Dst != p.Src || q.TCPFlags != tt.wantFlags || gotSeq != tt.wantSeq || gotAck != tt.wantAck {
				t.Errorf("%s: %v seq %#x ack %#x, want %v seq %#x ack %#x", tt.name, q.String(), gotSeq, gotAck, tt.wantFlags, tt.wantSeq, tt.wantAck)
			}
		}
	}
	for _, in := range [][]byte{udp4(20), fragment4(tcp4(4), 0, true), fragment4(tcp4(4), 24, false), cut(tcp4(4), 30), nil} {
		var p packet.Parsed
		p.Decode(in)
		if _, ok := p.TCPReset(); ok {
			t.Errorf("TCPReset to %v", p.String())
		}
	}
}

func TestAdminProhibited(t *testing.T) {
	for _, in := range [][]byte{udp4(9), udp4(2000), udp6(9), udp6(2000), tcp4(0), tcp6(3), ip4(47, make([]byte, 600)), ip6(47, nil),
		fragment4(udp4(8), 0, true), withExtensions(udp6(8), frag(0, true)), echoBetween("192.0.2.1", "198.51.100.2"),
		append(udp4(9), 0xee)} {
		var p, e, q packet.Parsed
		p.Decode(in)
		b, ok := p.AdminProhibited()
		if !ok {
			t.Errorf("no AdminProhibited to %v", p.String())
			continue
		}
		wantChecksums(t, b)
		e.Decode(b)
		limit, wantType, wantCode := 576, uint8(3), uint8(13)
		if p.IPVersion == 6 {
			limit, wantType, wantCode = 1280, 1, 1
		}
		if typ, code := e.ICMP(); typ != wantType || code != wantCode || !e.IsError() {
			t.Errorf("AdminProhibited is %v", e.String())
		}
		if want := min(limit, len(b)-len(e.Payload())+len(p.Buffer())); len(b) != want {
			t.Errorf("AdminProhibited to %v: %d bytes, want %d", p.String(), len(b), want)
		}
		if !e.Quoted(&q) || q.Src != p.Src || q.Dst != p.Dst || q.IPProto != p.IPProto || !bytes.HasPrefix(in, e.Payload()) {
			t.Errorf("AdminProhibited quotes %v, want %v", q.String(), p.String())
		}
		if p.IPVersion == 4 && b[1] != 0xc0 || p.IPVersion == 6 && (b[0] != 0x60 || b[1] != 0) {
			t.Errorf("AdminProhibited begins % x, want precedence 6 in IPv4 and class 0 in IPv6", b[:2])
		}
		if e.Src.Addr() != p.Dst.Addr() || e.Dst.Addr() != p.Src.Addr() {
			t.Errorf("AdminProhibited goes %v", e.String())
		}
	}
}

// TestPrecedence: the IPv4 errors that RFC 1812 §4.3.2.5 names have precedence
// 6, and nothing else has.
func TestPrecedence(t *testing.T) {
	for typ := range 256 {
		for _, ends := range [][2]netip.AddrPort{{src4, dst4}, {src6, dst6}} {
			b := packet.Generate(packet.ICMPHeader{Src: ends[0].Addr(), Dst: ends[1].Addr(), Type: uint8(typ)}, udp4(0))
			wantChecksums(t, b)
			class := b[0]<<4 | b[1]>>4
			want := uint8(0)
			if b[0]>>4 == 4 {
				class = b[1]
				if bytes.IndexByte([]byte{3, 5, 11, 12}, byte(typ)) >= 0 {
					want = 0xc0
				}
			}
			if class != want {
				t.Errorf("IPv%d type %d: type of service %#x, want %#x", b[0]>>4, typ, class, want)
			}
		}
	}
}

func TestAdminProhibitedRefuses(t *testing.T) {
	icmp6 := func(typ uint8) []byte {
		return packet.Generate(packet.ICMPHeader{Src: src6.Addr(), Dst: dst6.Addr(), Type: typ}, udp6(0))
	}
	for _, in := range [][]byte{nil, udp4(0)[:12], cut(udp4(0), 22), icmpError(dst4.Addr(), 3, udp4(0)), icmpError(dst4.Addr(), 5, udp4(0)),
		icmp6(1), icmp6(100), icmp6(127), icmp6(137), fragment4(udp4(8), 800, true), fragment4(tcp4(4), 8, true),
		withExtensions(udp6(0), routing(0, 0)), ip6(ipproto.ICMPv6, nil)} {
		var p packet.Parsed
		p.Decode(in)
		if _, ok := p.AdminProhibited(); ok {
			t.Errorf("AdminProhibited to %v", p.String())
		}
	}
}
