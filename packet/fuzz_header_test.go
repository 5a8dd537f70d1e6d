package packet_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"tstun/ipproto"
	"tstun/packet"
)

// roundTrip generates h with payload and decodes it again. gopacket must
// find every checksum right. It returns nil if the packet would be too long.
func roundTrip(t *testing.T, h packet.Header, payload []byte) *packet.Parsed {
	t.Helper()
	b := packet.Generate(h, payload)
	if b == nil {
		if h.Len()+len(payload) <= 65535 {
			t.Fatalf("Generate(%+v) of %d bytes: nil", h, len(payload))
		}
		return nil
	}
	p := new(packet.Parsed)
	p.Decode(b)
	if !bytes.Equal(p.Payload(), payload) || len(p.Buffer()) != h.Len()+len(payload) {
		t.Fatalf("Generate(%+v) decodes to %v", h, p.String())
	}
	gopacketChecksums(t, b)
	return p
}

// gopacketChecksums fails t unless gopacket verifies all checksums of b.
func gopacketChecksums(t *testing.T, b []byte) {
	t.Helper()
	first := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(b, first, gopacket.Default)
	for i, l := range p.Layers() {
		if i > 1 {
			break // what gopacket takes the payload for
		}
		switch l := l.(type) {
		case interface {
			gopacket.LayerWithChecksum
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}:
			if err := l.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
				t.Fatal(err)
			}
			verify(t, l, b)
		case *layers.IPv4:
			if i == 0 {
				verify(t, l, b)
			}
		case *layers.ICMPv4:
			verify(t, l, b)
		}
	}
}

func verify(t *testing.T, l gopacket.LayerWithChecksum, b []byte) {
	t.Helper()
	if err, result := l.VerifyChecksum(); err != nil || !result.Valid {
		t.Fatalf("gopacket: %v, %+v of %v in % x", err, result, l, b)
	}
}

// equal compares what a header said with what was decoded.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// fuzzIP compares the parts of an IP header that all headers have.
func fuzzIP(t *testing.T, p *packet.Parsed, src, dst netip.Addr, id uint16, ttl uint8) {
	t.Helper()
	equal(t, "source", p.Src.Addr(), src)
	equal(t, "destination", p.Dst.Addr(), dst)
	if ttl == 0 {
		ttl = 64
	}
	b := p.Buffer()
	if p.IPVersion == 6 {
		equal(t, "hop limit", b[7], ttl)
		return
	}
	equal(t, "TTL", b[8], ttl)
	equal(t, "ID", uint16(b[4])<<8|uint16(b[5]), id)
	equal(t, "don't fragment", b[6]&0x40 != 0, id == 0)
}

func FuzzHeaderRoundTripIP(f *testing.F) {
	f.Add([]byte("addresses"), true, uint8(47), uint16(7), uint8(0), []byte("payload"))
	f.Add([]byte("addresses"), false, uint8(50), uint16(0), uint8(9), []byte{})
	f.Fuzz(func(t *testing.T, addrs []byte, v6 bool, proto uint8, id uint16, ttl uint8, payload []byte) {
		switch proto {
		case 0, 1, 6, 17, 43, 44, 51, 58, 60, 132, 255:
			return // these say something about the payload
		}
		h := packet.IPHeader{Proto: ipproto.Proto(proto), ID: id, TTL: ttl}
		h.Src, h.Dst = fuzzAddrs(addrs, v6)
		if p := roundTrip(t, h, payload); p != nil {
			fuzzIP(t, p, h.Src, h.Dst, id, ttl)
			equal(t, "protocol", p.IPProto, h.Proto)
			r := h.Response()
			equal(t, "response", r, packet.IPHeader{Src: h.Dst, Dst: h.Src, Proto: h.Proto})
		}
	})
}

func FuzzHeaderRoundTripUDP(f *testing.F) {
	f.Add([]byte("addresses"), true, uint16(1000), uint16(3), uint16(7), uint8(0), []byte("payload"))
	f.Add([]byte("addresses"), false, uint16(1000), uint16(3), uint16(0), uint8(9), []byte{})
	f.Fuzz(func(t *testing.T, addrs []byte, v6 bool, sport, dport, id uint16, ttl uint8, payload []byte) {
		src, dst := fuzzAddrs(addrs, v6)
		h := packet.UDPHeader{Src: netip.AddrPortFrom(src, sport), Dst: netip.AddrPortFrom(dst, dport), ID: id, TTL: ttl}
		if p := roundTrip(t, h, payload); p != nil {
			fuzzIP(t, p, src, dst, id, ttl)
			equal(t, "protocol", p.IPProto, ipproto.UDP)
			equal(t, "source", p.Src, h.Src)
			equal(t, "destination", p.Dst, h.Dst)
			equal(t, "no checksum", p.Transport()[6]|p.Transport()[7] == 0, false)
		}
	})
}

func FuzzHeaderRoundTripTCP(f *testing.F) {
	f.Add([]byte("addresses"), true, uint16(1000), uint16(3), uint32(1), uint32(2), uint8(2), uint16(9), []byte("payload"))
	f.Add([]byte("addresses"), false, uint16(1000), uint16(3), uint32(1), uint32(2), uint8(18), uint16(9), []byte{})
	f.Fuzz(func(t *testing.T, addrs []byte, v6 bool, sport, dport uint16, seq, ack uint32, flags uint8, window uint16, payload []byte) {
		src, dst := fuzzAddrs(addrs, v6)
		h := packet.TCPHeader{Src: netip.AddrPortFrom(src, sport), Dst: netip.AddrPortFrom(dst, dport),
			Seq: seq, Ack: ack, Flags: packet.TCPFlag(flags), Window: window}
		p := roundTrip(t, h, payload)
		if p == nil {
			return
		}
		fuzzIP(t, p, src, dst, 0, 0)
		equal(t, "protocol", p.IPProto, ipproto.TCP)
		equal(t, "source", p.Src, h.Src)
		equal(t, "destination", p.Dst, h.Dst)
		equal(t, "flags", p.TCPFlags, h.Flags)
		var l layers.TCP
		if err := l.DecodeFromBytes(p.Transport(), gopacket.NilDecodeFeedback); err != nil {
			t.Fatal(err)
		}
		equal(t, "sequence number", l.Seq, seq)
		equal(t, "acknowledgment number", l.Ack, ack)
		equal(t, "window", l.Window, window)
		equal(t, "urgent pointer", l.Urgent, 0)
	})
}

func FuzzHeaderRoundTripICMP(f *testing.F) {
	f.Add([]byte("addresses"), true, uint8(128), uint8(0), []byte{1, 2, 3, 4}, []byte("payload"))
	f.Add([]byte("addresses"), false, uint8(8), uint8(0), []byte{1, 2, 3, 4}, []byte{})
	f.Fuzz(func(t *testing.T, addrs []byte, v6 bool, typ, code uint8, rest, payload []byte) {
		h := packet.ICMPHeader{Type: typ, Code: code}
		h.Src, h.Dst = fuzzAddrs(addrs, v6)
		copy(h.Rest[:], rest)
		p := roundTrip(t, h, payload)
		if p == nil {
			return
		}
		fuzzIP(t, p, h.Src, h.Dst, 0, 0)
		gotType, gotCode := p.ICMP()
		equal(t, "type", gotType, typ)
		equal(t, "code", gotCode, code)
		equal(t, "rest", [4]byte(p.Transport()[4:]), h.Rest)
	})
}

func FuzzHeaderRoundTripTSMP(f *testing.F) {
	f.Add([]byte("addresses"), true, []byte("12345678"), uint16(80), uint16(4000), uint8(6), uint8('A'), true)
	f.Add([]byte("addresses"), false, []byte{}, uint16(0), uint16(0), uint8(0), uint8(0), false)
	f.Fuzz(func(t *testing.T, addrs []byte, v6 bool, data []byte, sport, dport uint16, proto, reason uint8, broken bool) {
		src, dst := fuzzAddrs(addrs, v6)
		ping := packet.TSMPPing{IPHeader: packet.IPHeader{Src: src, Dst: dst, Proto: ipproto.TSMP, TTL: 64}}
		copy(ping.Data[:], data)
		var p packet.Parsed
		p.Decode(packet.Generate(ping, nil))
		gotPing, ok := p.AsTSMPPing()
		equal(t, "is a ping", ok, true)
		equal(t, "ping", gotPing, ping)

		pong := packet.TSMPPongReply{IPHeader: ping.IPHeader, Data: ping.Data, PeerAPIPort: sport}
		p.Decode(packet.Generate(pong, nil))
		gotPong, ok := p.AsTSMPPong()
		equal(t, "is a pong", ok, true)
		equal(t, "pong", gotPong, pong)

		rejected := packet.TSMPRejected{Src: netip.AddrPortFrom(src, sport), Dst: netip.AddrPortFrom(dst, dport),
			Proto: ipproto.Proto(proto), Reason: packet.TSMPRejectReason(reason), MaybeBroken: broken}
		b := packet.Generate(rejected, nil)
		p.Decode(b)
		gotRejected, ok := p.AsTSMPRejected()
		equal(t, "is a rejection", ok, true)
		equal(t, "rejected", gotRejected, rejected)
		gopacketChecksums(t, b)
	})
}
