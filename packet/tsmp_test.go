package packet_test

import (
	"bytes"
	"net/netip"
	"testing"

	"tstun/ipproto"
	"tstun/key"
	"tstun/packet"
)

// tsmpMessage returns the TSMP message in b.
func tsmpMessage(t *testing.T, b []byte) []byte {
	t.Helper()
	var p packet.Parsed
	p.Decode(b)
	if p.IPProto != ipproto.TSMP {
		t.Fatalf("not TSMP: %v", p.String())
	}
	wantChecksums(t, b)
	return p.Payload()
}

func TestTSMPPingPong(t *testing.T) {
	data := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	for _, ends := range [][2]netip.AddrPort{{src4, dst4}, {src6, dst6}} {
		ip := packet.IPHeader{Src: ends[0].Addr(), Dst: ends[1].Addr(), Proto: ipproto.TSMP, TTL: 9}
		if ip.Src.Is4() {
			ip.ID = 77
		}
		b := packet.Generate(packet.TSMPPing{IPHeader: ip, Data: data}, nil)
		if m := tsmpMessage(t, b); string(m) != "p\x01\x02\x03\x04\x05\x06\x07\x08" {
			t.Errorf("ping: %q", m)
		}
		var p packet.Parsed
		p.Decode(b)
		ping, ok := p.AsTSMPPing()
		if !ok || ping.Data != data || ping.IPHeader != ip {
			t.Fatalf("AsTSMPPing: %+v, %v", ping, ok)
		}
		if _, ok := p.AsTSMPPong(); ok {
			t.Error("a ping is a pong")
		}
		b = packet.Generate(ping.Pong(0x1234), nil)
		if m := tsmpMessage(t, b); string(m) != "o\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34" {
			t.Errorf("pong: %q", m)
		}
		p.Decode(b)
		pong, ok := p.AsTSMPPong()
		if !ok || pong.Data != data || pong.PeerAPIPort != 0x1234 || p.Src.Addr() != ip.Dst || p.Dst.Addr() != ip.Src {
			t.Errorf("AsTSMPPong: %+v, %v from %v", pong, ok, p.String())
		}
	}
}

func TestTSMPRejected(t *testing.T) {
	for _, ends := range [][2]netip.AddrPort{{src4, dst4}, {src6, dst6}} {
		for _, want := range []packet.TSMPRejected{
			{Src: ends[0], Dst: ends[1], Proto: ipproto.TCP, Reason: packet.RejectedByRules},
			{Src: ends[0], Dst: ends[1], Proto: ipproto.UDP, Reason: packet.RejectedShieldsUp, MaybeBroken: true},
			{Src: ends[0], Dst: ends[1], Proto: 200, Reason: 0xfe},
		} {
			b := packet.Generate(want, nil)
			flags := "\x00"
			if want.MaybeBroken {
				flags = "\x01"
			}
			if m := tsmpMessage(t, b); string(m) != "!"+string([]byte{byte(want.Proto), byte(want.Reason)})+"\x0f\xa0\x00\x50"+flags {
				t.Errorf("rejected: %q", m)
			}
			var p packet.Parsed
			p.Decode(b)
			got, ok := p.AsTSMPRejected()
			if !ok || got != want {
				t.Errorf("AsTSMPRejected: %+v, %v; want %+v", got, ok, want)
			}
			if p.Src.Addr() != want.Dst.Addr() || p.Dst.Addr() != want.Src.Addr() {
				t.Errorf("a rejected message travels %v, want from %v to %v", p.String(), want.Dst, want.Src)
			}
		}
	}
}

// TestTSMPLengths reads each message at every length.
func TestTSMPLengths(t *testing.T) {
	tests := []struct {
		typ string
		min int // shortest that is read
		is  func(*packet.Parsed) bool
	}{
		{"p", 9, func(p *packet.Parsed) bool { _, ok := p.AsTSMPPing(); return ok }},
		{"o", 9, func(p *packet.Parsed) bool { _, ok := p.AsTSMPPong(); return ok }},
		{"!", 7, func(p *packet.Parsed) bool { _, ok := p.AsTSMPRejected(); return ok }},
	}
	for _, tt := range tests {
		for n := range 20 {
			m := append([]byte(tt.typ), bytes.Repeat([]byte{0xff}, 20)...)[:n]
			for _, b := range [][]byte{ip4(ipproto.TSMP, m), ip6(ipproto.TSMP, m)} {
				var p packet.Parsed
				p.Decode(b)
				for _, other := range tests {
					if got, want := other.is(&p), other.typ == tt.typ && n >= tt.min; got != want {
						t.Errorf("%q of %d bytes read as %q: %v, want %v", tt.typ, n, other.typ, got, want)
					}
				}
				if pong, ok := p.AsTSMPPong(); ok && (pong.PeerAPIPort != 0) != (n >= 11) {
					t.Errorf("pong of %d bytes: port %d", n, pong.PeerAPIPort)
				}
				if r, ok := p.AsTSMPRejected(); ok && r.MaybeBroken != (n >= 8) {
					t.Errorf("rejected of %d bytes: maybe broken %v", n, r.MaybeBroken)
				}
			}
		}
	}
}

func TestTSMPRefuses(t *testing.T) {
	m := []byte("p12345678.......")
	for _, b := range [][]byte{
		udp4(20),
		ip4(200, m),
		fragment4(ip4(ipproto.TSMP, m), 0, true),
		fragment4(ip4(ipproto.TSMP, m), 8, false),
		withExtensions(ip6(ipproto.TSMP, m), frag(0, true)),
		ip4(ipproto.TSMP, []byte("x12345678")),
	} {
		var p packet.Parsed
		p.Decode(b)
		if _, ok := p.AsTSMPPing(); ok {
			t.Errorf("AsTSMPPing of %v", p.String())
		}
	}
	ip := packet.IPHeader{Src: src4.Addr(), Dst: dst4.Addr()}
	for _, h := range []packet.Header{packet.TSMPPing{}, packet.TSMPPongReply{}, packet.TSMPRejected{}, packet.TSMPPing{}.Pong(1),
		packet.TSMPPing{IPHeader: packet.UDPHeader{Src: src4, Dst: dst4}},
		packet.TSMPRejected{Src: src4, Dst: dst6}} {
		if b := packet.Generate(h, nil); b != nil {
			t.Errorf("Generate(%+v) = % x", h, b)
		}
	}
	for _, h := range []packet.Header{packet.TSMPPing{IPHeader: ip}, packet.TSMPPongReply{IPHeader: ip}, packet.TSMPRejected{Src: src4, Dst: dst4}} {
		if b := packet.Generate(h, []byte{1}); b != nil {
			t.Errorf("Generate(%+v) with payload = % x", h, b)
		}
		if err := h.Marshal(make([]byte, h.Len()-1)); err == nil {
			t.Errorf("Marshal of %+v into a short buffer: no error", h)
		}
	}
}

func TestTSMPRejectReasonString(t *testing.T) {
	for r, want := range map[packet.TSMPRejectReason]string{
		packet.RejectedByRules: "rules", packet.RejectedShieldsUp: "shields-up", packet.RejectedIPForwarding: "ip-forwarding",
		packet.RejectedHostFirewall: "host-firewall", 0xf5: "reason-0xf5",
	} {
		if got := r.String(); got != want {
			t.Errorf("%#x: %q, want %q", byte(r), got, want)
		}
	}
}

func TestDiscoKey(t *testing.T) {
	raw := [32]byte{1, 2, 31: 9}
	message := append([]byte("TS💬"), raw[:]...)
	message = append(message, make([]byte, 24)...)
	udp := func(payload []byte) []byte { return packet.Generate(packet.UDPHeader{Src: src4, Dst: dst4}, payload) }
	tests := []struct {
		name string
		in   []byte
		want bool
	}{
		{"bare", udp(message), true},
		{"with a box", udp(append(bytes.Clone(message), 1, 2, 3)), true},
		{"IPv6", packet.Generate(packet.UDPHeader{Src: src6, Dst: dst6}, message), true},
		{"first fragment", fragment4(udp(append(bytes.Clone(message), 0, 0)), 0, true), true},
		{"nonce cut", udp(message[:61]), false},
		{"cut by the UDP length", edit(udp(message), 24, 0, 60), false},
		{"another magic", udp(edit(message, 5, 0)), false},
		{"zero key", udp(edit(message, 6, make([]byte, 32)...)), false},
		{"TCP", packet.Generate(packet.TCPHeader{Src: src4, Dst: dst4}, message), false},
		{"later fragment", fragment4(ip4(ipproto.UDP, append(bytes.Clone(message), 0, 0)), 800, true), false},
		{"empty", udp(nil), false},
	}
	for _, tt := range tests {
		var p packet.Parsed
		p.Decode(tt.in)
		k, ok := p.DiscoKey()
		if ok != tt.want || ok && k != key.DiscoPublicFromRaw32(raw) {
			t.Errorf("%s: DiscoKey = %v, %v; want %v", tt.name, k, ok, tt.want)
		}
	}
}
