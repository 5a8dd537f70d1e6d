package packet_test

import (
	"bytes"
	"net/netip"
	"testing"

	"tstun/ipproto"
	"tstun/packet"
)

func TestGenerate(t *testing.T) {
	payload := []byte("an odd payload.")
	tests := []struct {
		name string
		h    packet.Header
		len  int
		want string
	}{
		{"IPv4", packet.IPHeader{Src: src4.Addr(), Dst: dst4.Addr(), Proto: 47}, 20, "GRE{192.0.2.1 > 198.51.100.2}"},
		{"IPv6", packet.IPHeader{Src: src6.Addr(), Dst: dst6.Addr(), Proto: 47}, 40, "GRE{2001:db8::1 > 2001:db8:1::2}"},
		{"UDP4", packet.UDPHeader{Src: src4, Dst: dst4}, 28, "UDP{192.0.2.1:4000 > 198.51.100.2:80}"},
		{"UDP6", packet.UDPHeader{Src: src6, Dst: dst6}, 48, "UDP{[2001:db8::1]:4000 > [2001:db8:1::2]:80}"},
		{"TCP4", packet.TCPHeader{Src: src4, Dst: dst4, Flags: packet.TCPSynAck}, 40, "TCP{192.0.2.1:4000 > 198.51.100.2:80 SYN|ACK}"},
		{"TCP6", packet.TCPHeader{Src: src6, Dst: dst6, Flags: packet.TCPCWR}, 60, "TCP{[2001:db8::1]:4000 > [2001:db8:1::2]:80 CWR}"},
		{"ICMPv4", packet.ICMPHeader{Src: src4.Addr(), Dst: dst4.Addr(), Type: 8, Code: 1}, 28, "ICMPv4{192.0.2.1 > 198.51.100.2 type 8 code 1}"},
		{"ICMPv6", packet.ICMPHeader{Src: src6.Addr(), Dst: dst6.Addr(), Type: 129}, 48, "ICMPv6{2001:db8::1 > 2001:db8:1::2 type 129 code 0}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := packet.Generate(tt.h, payload)
			if tt.h.Len() != tt.len || len(b) != tt.len+len(payload) {
				t.Fatalf("Len %d, packet %d bytes; want %d and %d", tt.h.Len(), len(b), tt.len, tt.len+len(payload))
			}
			wantChecksums(t, b)
			var p packet.Parsed
			p.Decode(b)
			if got := p.String(); got != tt.want {
				t.Errorf("decoded: %s, want %s", got, tt.want)
			}
			if !bytes.Equal(p.Payload(), payload) {
				t.Errorf("payload %q, want %q", p.Payload(), payload)
			}
			short := make([]byte, tt.len-1)
			if err := tt.h.Marshal(short); err == nil {
				t.Error("Marshal into a short buffer: no error")
			}
			if err := tt.h.Marshal(nil); err == nil {
				t.Error("Marshal into nil: no error")
			}
			dirty := bytes.Repeat([]byte{0xff}, len(b))
			copy(dirty[tt.len:], payload)
			if err := tt.h.Marshal(dirty); err != nil || !bytes.Equal(dirty, b) {
				t.Errorf("Marshal into a used buffer: % x, %v; want % x", dirty, err, b)
			}
		})
	}
}

func TestGenerateRefuses(t *testing.T) {
	no := netip.AddrPort{}
	tests := []struct {
		name    string
		h       packet.Header
		payload int
	}{
		{"two families, IP", packet.IPHeader{Src: src4.Addr(), Dst: dst6.Addr()}, 0},
		{"two families, UDP", packet.UDPHeader{Src: src6, Dst: dst4}, 0},
		{"two families, TCP", packet.TCPHeader{Src: src4, Dst: dst6}, 100},
		{"two families, ICMP", packet.ICMPHeader{Src: src6.Addr(), Dst: dst4.Addr()}, 0},
		{"no addresses", packet.UDPHeader{Src: no, Dst: no}, 0},
		{"no source", packet.TCPHeader{Src: no, Dst: dst4}, 0},
		{"no destination", packet.ICMPHeader{Src: src4.Addr()}, 0},
		{"IPv4 too long", packet.UDPHeader{Src: src4, Dst: dst4}, 65508},
		{"IPv6 too long", packet.UDPHeader{Src: src6, Dst: dst6}, 65528},
	}
	for _, tt := range tests {
		if b := packet.Generate(tt.h, make([]byte, tt.payload)); b != nil {
			t.Errorf("%s: Generate returned %d bytes, want nil", tt.name, len(b))
		}
	}
	for _, h := range []packet.Header{packet.UDPHeader{Src: src4, Dst: dst4}, packet.UDPHeader{Src: src6, Dst: dst6}} {
		longest := 65535 - 28
		if h.Len() == 48 {
			longest = 65535 - 8
		}
		var p packet.Parsed
		p.Decode(packet.Generate(h, make([]byte, longest)))
		if p.Problem() != packet.ProblemNone || len(p.Payload()) != longest {
			t.Errorf("the longest packet: %v", p.String())
		}
	}
}

func TestIPHeaderFields(t *testing.T) {
	var p packet.Parsed
	h := packet.IPHeader{Src: src4.Addr(), Dst: dst4.Addr(), Proto: 47}
	b := packet.Generate(h, nil)
	if b[6] != 0x40 || b[8] != 64 {
		t.Errorf("zero ID and TTL: flags %#x, TTL %d; want don't-fragment, 64", b[6], b[8])
	}
	h.ID, h.TTL = 0x1234, 7
	b = packet.Generate(h, nil)
	if b[4] != 0x12 || b[5] != 0x34 || b[6] != 0 || b[8] != 7 {
		t.Errorf("ID 0x1234, TTL 7: % x", b[:10])
	}
	b = packet.Generate(h.Response(), nil)
	p.Decode(b)
	if p.Src.Addr() != h.Dst || p.Dst.Addr() != h.Src || p.Proto() != 47 || b[8] != 64 {
		t.Errorf("Response: %v, TTL %d", p.String(), b[8])
	}
}

// TestGenerateUDPChecksumZero finds payloads whose checksum is 0 and checks
// that 0xffff is sent in its place.
func TestGenerateUDPChecksumZero(t *testing.T) {
	for _, h := range []packet.UDPHeader{{Src: src4, Dst: dst4}, {Src: src6, Dst: dst6}} {
		b := packet.Generate(h, []byte{0, 0})
		sum := b[len(b)-4 : len(b)-2]
		b = packet.Generate(h, sum) // adding the complement of a sum makes it 0xffff
		if got := b[len(b)-4 : len(b)-2]; got[0] != 0xff || got[1] != 0xff {
			t.Errorf("checksum % x, want ff ff", got)
		}
		wantChecksums(t, b)
	}
}

func TestString(t *testing.T) {
	tests := []struct {
		in   []byte
		want string
	}{
		{nil, "malformed{0 bytes}"},
		{udp4(0)[:9], "malformed{9 bytes}"},
		{cut(udp4(0), 21), "UDP{192.0.2.1 > 198.51.100.2 truncated}"},
		{ip4(200, nil), "PROTO-200{192.0.2.1 > 198.51.100.2}"},
		{fragment4(udp4(8), 800, false), "UDP{192.0.2.1 > 198.51.100.2 fragment 0x0 at 800}"},
		{fragment4(tcp4(4), 8, false), "TCP{192.0.2.1 > 198.51.100.2 fragment 0x0 at 8 tiny-fragment}"},
		{withExtensions(udp6(0), routing(0, 1)), "unknown{2001:db8::1 > 2001:db8:1::2 extension-headers}"},
		{tcp4(0), "TCP{192.0.2.1:4000 > 198.51.100.2:80 SYN}"},
		{edit(tcp4(0), 33, 0), "TCP{192.0.2.1:4000 > 198.51.100.2:80 -}"},
	}
	for _, tt := range tests {
		var p packet.Parsed
		p.Decode(tt.in)
		if got := p.String(); got != tt.want {
			t.Errorf("String() = %q, want %q", got, tt.want)
		}
	}
	if got := packet.ProblemNone.String() + packet.ProblemMalformed.String() + packet.Problem(99).String(); got != "nonemalformedinvalid" {
		t.Errorf("Problem.String: %q", got)
	}
}

func TestIsTCPSyn(t *testing.T) {
	tests := []struct {
		flags packet.TCPFlag
		want  bool
	}{
		{packet.TCPSyn, true},
		{packet.TCPSyn | packet.TCPECNEcho | packet.TCPCWR, true},
		{packet.TCPSynAck, false},
		{packet.TCPAck, false},
		{0, false},
	}
	for _, tt := range tests {
		var p packet.Parsed
		p.Decode(packet.Generate(packet.TCPHeader{Src: src6, Dst: dst6, Flags: tt.flags}, nil))
		if p.IsTCPSyn() != tt.want || p.TCPFlags != tt.flags {
			t.Errorf("%v: IsTCPSyn %v, flags %v; want %v", tt.flags, p.IsTCPSyn(), p.TCPFlags, tt.want)
		}
	}
	var p packet.Parsed
	p.Decode(edit(udp4(20), 33, byte(packet.TCPSyn)))
	if p.IsTCPSyn() || p.IPProto != ipproto.UDP {
		t.Error("a UDP datagram is a SYN")
	}
}
