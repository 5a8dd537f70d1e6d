package packet_test

import (
	"net/netip"
	"testing"

	"tstun/packet"
)

// BenchmarkDecode measures Parsed.Decode on one reused Parsed, by kind of
// packet.
func BenchmarkDecode(b *testing.B) {
	port := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	fragmented := packet.Generate(packet.UDPHeader{Src: port("192.0.2.1:1000"), Dst: port("198.51.100.2:53")}, make([]byte, 64))
	fragmented[7] = 100
	chain := withExtensions(packet.Generate(packet.UDPHeader{Src: port("[2001:db8::1]:1000"), Dst: port("[2001:db8::2]:53")}, make([]byte, 64)),
		extension{kind: 0, body: make([]byte, 6)}, extension{kind: 60, body: make([]byte, 6)})
	cases := []struct {
		name string
		in   []byte
	}{
		{"IPv4/UDP", packet.Generate(packet.UDPHeader{Src: port("192.0.2.1:1000"), Dst: port("198.51.100.2:53")}, make([]byte, 1200))},
		{"IPv4/TCP", packet.Generate(packet.TCPHeader{Src: port("192.0.2.1:1000"), Dst: port("198.51.100.2:80")}, make([]byte, 1200))},
		{"IPv4/echo", packet.Generate(packet.ICMPHeader{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), Type: 8}, make([]byte, 56))},
		{"IPv4/fragment", fragmented},
		{"IPv6/UDP", packet.Generate(packet.UDPHeader{Src: port("[2001:db8::1]:1000"), Dst: port("[2001:db8::2]:53")}, make([]byte, 1200))},
		{"IPv6/TCP", packet.Generate(packet.TCPHeader{Src: port("[2001:db8::1]:1000"), Dst: port("[2001:db8::2]:80")}, make([]byte, 1200))},
		{"IPv6/extensions", chain},
		{"malformed", make([]byte, 60)},
	}
	for _, bb := range cases {
		b.Run(bb.name, func(b *testing.B) {
			p := new(packet.Parsed)
			b.ReportAllocs()
			for b.Loop() {
				p.Decode(bb.in)
			}
		})
	}
}

// BenchmarkSetSrcAddr measures one rewrite with its checksum updates.
func BenchmarkSetSrcAddr(b *testing.B) {
	in := packet.Generate(packet.TCPHeader{Src: netip.MustParseAddrPort("192.0.2.1:1000"), Dst: netip.MustParseAddrPort("198.51.100.2:80")}, make([]byte, 1200))
	p := new(packet.Parsed)
	p.Decode(in)
	to := netip.MustParseAddr("203.0.113.77")
	b.ReportAllocs()
	for b.Loop() {
		p.SetSrcAddr(to)
	}
}

// BenchmarkChecksum measures Checksum over a full-sized packet.
func BenchmarkChecksum(b *testing.B) {
	buf := make([]byte, 1500)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		packet.Checksum(buf, 0)
	}
}
