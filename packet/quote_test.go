package packet_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"tstun/ipproto"
	"tstun/packet"
)

// icmpError returns an ICMP error of that type from router to the sender of
// the packet quoted, of which any part may be missing.
func icmpError(router netip.Addr, typ uint8, quoted []byte) []byte {
	to := src4.Addr()
	switch {
	case router.Is6() && len(quoted) >= 24:
		to = netip.AddrFrom16([16]byte(quoted[8:]))
	case router.Is6():
		to = src6.Addr()
	case len(quoted) >= 16:
		to = netip.AddrFrom4([4]byte(quoted[12:]))
	}
	return packet.Generate(packet.ICMPHeader{Src: router, Dst: to, Type: typ, Rest: [4]byte{0, 0, 5, 0}}, quoted)
}

func TestQuoted(t *testing.T) {
	r4, r6 := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8:9::9")
	echo4 := packet.Generate(packet.ICMPHeader{Src: src4.Addr(), Dst: dst4.Addr(), Type: 8, Rest: [4]byte{0xbe, 0xef}}, make([]byte, 9))
	udp := "UDP{192.0.2.1:4000 > 198.51.100.2:80}"
	tests := []struct {
		name string
		in   []byte
		want string // "": not quoted
	}{
		{"whole", icmpError(r4, 3, udp4(9)), udp},
		{"whole, IPv6", icmpError(r6, 2, udp6(9)), "UDP{[2001:db8::1]:4000 > [2001:db8:1::2]:80}"},
		{"each error type: 4", icmpError(r4, 4, udp4(9)), udp},
		{"each error type: 5", icmpError(r4, 5, udp4(9)), udp},
		{"each error type: 11", icmpError(r4, 11, udp4(9)), udp},
		{"each error type: 12", icmpError(r4, 12, udp4(9)), udp},
		{"cut to eight bytes", icmpError(r4, 3, udp4(900)[:28]), udp},
		{"cut to seven bytes", icmpError(r4, 3, udp4(900)[:27]), ""},
		{"cut IP header", icmpError(r4, 3, udp4(900)[:19]), ""},
		{"nothing", icmpError(r4, 3, nil), ""},
		{"TCP, eight bytes", icmpError(r4, 3, tcp4(9)[:28]), "TCP{192.0.2.1:4000 > 198.51.100.2:80 -}"},
		{"TCP, seven bytes", icmpError(r4, 3, tcp4(9)[:27]), ""},
		{"TCP, nineteen bytes", icmpError(r4, 3, tcp4(9)[:39]), "TCP{192.0.2.1:4000 > 198.51.100.2:80 -}"},
		{"TCP, whole header", icmpError(r4, 3, tcp4(9)[:40]), "TCP{192.0.2.1:4000 > 198.51.100.2:80 SYN}"},
		{"TCP, wild data offset", icmpError(r4, 3, edit(tcp4(9), 32, 0xf0)[:44]), "TCP{192.0.2.1:4000 > 198.51.100.2:80 SYN}"},
		{"SCTP, eight bytes", icmpError(r4, 3, ip4(ipproto.SCTP, append([]byte{0x0f, 0xa0, 0, 80}, make([]byte, 8)...))[:28]), "SCTP{192.0.2.1:4000 > 198.51.100.2:80}"},
		{"echo", icmpError(r4, 3, echo4[:28]), "ICMPv4{192.0.2.1 > 198.51.100.2 type 8 code 0}"},
		{"GRE, IP header alone", icmpError(r4, 3, ip4(47, make([]byte, 30))[:20]), "GRE{192.0.2.1 > 198.51.100.2}"},
		{"total length below the quote", icmpError(r4, 3, edit(udp4(9), 2, 0, 28)), udp},
		{"total length below the IP header", icmpError(r4, 3, edit(udp4(9), 2, 0, 5)), ""},
		{"total length 0, of segmentation offload", icmpError(r4, 3, edit(udp4(9), 2, 0, 0)), udp},
		{"total length 0, cut", icmpError(r4, 3, edit(tcp4(9), 2, 0, 0)[:28]), "TCP{192.0.2.1:4000 > 198.51.100.2:80 -}"},
		{"total length 0, seven bytes", icmpError(r4, 3, edit(udp4(9), 2, 0, 0)[:27]), ""},
		{"IPv6 payload length 0, of segmentation offload", icmpError(r6, 2, edit(tcp6(9), 4, 0, 0)), "TCP{[2001:db8::1]:4000 > [2001:db8:1::2]:80 SYN}"},
		{"IPv6 payload length 0, seven bytes", icmpError(r6, 2, edit(tcp6(9), 4, 0, 0)[:47]), ""},
		{"IPv6 jumbogram", icmpError(r6, 2, edit(withExtensions(tcp6(9), ext(0, 1)), 4, 0, 0)), "TCP{[2001:db8::1]:4000 > [2001:db8:1::2]:80 SYN}"},
		{"IPv6 UDP jumbogram", icmpError(r6, 2, edit(edit(withExtensions(udp6(9), ext(0, 1)), 4, 0, 0), 52, 0, 0)), "UDP{[2001:db8::1]:4000 > [2001:db8:1::2]:80}"},
		{"IHL 0", icmpError(r4, 3, edit(udp4(9), 0, 0x40)), ""},
		{"first fragment, cut", icmpError(r4, 3, fragment4(udp4(800), 0, true)[:31]), "UDP{192.0.2.1:4000 > 198.51.100.2:80 fragment 0x0 at 0}"},
		{"later fragment", icmpError(r4, 3, fragment4(udp4(800), 800, true)), ""},
		{"error about an error", icmpError(r4, 3, icmpError(r4, 3, udp4(9))), ""},
		{"IPv6 in ICMPv4", packet.Generate(packet.ICMPHeader{Src: r4, Dst: src4.Addr(), Type: 3}, udp6(9)), ""},
		{"IPv6 options, cut", icmpError(r6, 1, withExtensions(udp6(90), ext(0, 1), ext(60, 1))[:64]), "UDP{[2001:db8::1]:4000 > [2001:db8:1::2]:80}"},
		{"IPv6 cut in options", icmpError(r6, 1, withExtensions(udp6(90), ext(0, 1), ext(60, 1))[:55]), ""},
		{"IPv6 redirect", icmpError(r6, 137, udp6(9)), ""},
		{"no error: echo", packet.Generate(packet.ICMPHeader{Src: r4, Dst: src4.Addr(), Type: 8}, udp4(9)), ""},
		{"no error: UDP", udp4(9), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p, q packet.Parsed
			p.Decode(tt.in)
			ok := p.Quoted(&q)
			if ok != (tt.want != "") {
				t.Fatalf("Quoted = %v, q %s; want %q", ok, q.String(), tt.want)
			}
			if ok && q.String() != tt.want {
				t.Errorf("Quoted: %s, want %s", q.String(), tt.want)
			}
		})
	}
	var p packet.Parsed
	p.Decode(icmpError(r4, 3, echo4[:28]))
	if !p.Quoted(&p) || p.EchoID() != 0xbeef {
		t.Errorf("Quoted into itself: %v, echo ID %#x, want 0xbeef", p.String(), p.EchoID())
	}
	if p.Quoted(&p) {
		t.Error("Quoted of a quote is true")
	}
}

func TestICMPKinds(t *testing.T) {
	errors4, errors6 := "\x03\x04\x05\x0b\x0c", "\x01\x02\x03\x04\x89"
	for typ := range 256 {
		for _, a := range []netip.AddrPort{src4, src6} {
			var p packet.Parsed
			p.Decode(packet.Generate(packet.ICMPHeader{Src: a.Addr(), Dst: a.Addr(), Type: uint8(typ), Code: 3, Rest: [4]byte{1, 2}}, nil))
			errs, request, reply := errors4, 8, 0
			if p.IPVersion == 6 {
				errs, request, reply = errors6, 128, 129
			}
			if got, want := p.IsError(), bytes.IndexByte([]byte(errs), byte(typ)) >= 0; got != want {
				t.Errorf("IPv%d type %d: IsError %v, want %v", p.IPVersion, typ, got, want)
			}
			if p.IsEchoRequest() != (typ == request) || p.IsEchoResponse() != (typ == reply) {
				t.Errorf("IPv%d type %d: request %v, response %v", p.IPVersion, typ, p.IsEchoRequest(), p.IsEchoResponse())
			}
			if got := p.EchoID(); got != 0 && typ != request && typ != reply || got == 0 && (typ == request || typ == reply) {
				t.Errorf("IPv%d type %d: EchoID %#x", p.IPVersion, typ, got)
			}
			if gotType, code := p.ICMP(); int(gotType) != typ || code != 3 {
				t.Errorf("ICMP() = %d, %d; want %d, 3", gotType, code, typ)
			}
		}
	}
	var p packet.Parsed
	p.Decode(ip6(ipproto.ICMPv4, []byte{8, 0, 0, 0, 1, 2, 3, 4}))
	if p.IsEchoRequest() || p.EchoID() != 0 {
		t.Error("ICMPv4 in IPv6 is an echo request")
	}
}

// TestQuery: which messages ask, which reply, and what pairs them.
func TestQuery(t *testing.T) {
	requests := map[bool]map[uint8]uint8{ // by request, the reply
		false: {8: 0, 13: 14, 15: 16, 17: 18},
		true:  {128: 129, 139: 140},
	}
	for _, a := range []netip.AddrPort{src4, src6} {
		v6 := a.Addr().Is6()
		want := make(map[uint8]packet.Query)
		for request, reply := range requests[v6] {
			want[request] = packet.Query{Type: request, ID: 0xbeef}
			want[reply] = packet.Query{Type: request, ID: 0xbeef, Reply: true}
		}
		for typ := range 256 {
			var p packet.Parsed
			p.Decode(packet.Generate(packet.ICMPHeader{Src: a.Addr(), Dst: a.Addr(), Type: uint8(typ), Rest: [4]byte{0xbe, 0xef, 1, 2}}, nil))
			q, ok := p.Query()
			w, wantOK := want[uint8(typ)]
			if q != w || ok != wantOK {
				t.Errorf("IPv%d type %d: Query %+v, %v; want %+v, %v", p.IPVersion, typ, q, ok, w, wantOK)
			}
		}
	}
	for _, b := range [][]byte{nil, udp4(9), ip6(ipproto.ICMPv4, []byte{13, 0, 0, 0, 1, 2, 3, 4})} {
		var p packet.Parsed
		p.Decode(b)
		if q, ok := p.Query(); ok {
			t.Errorf("Query of %v: %+v", p.String(), q)
		}
	}
}

// TestRewriteQuote is the second half of row 18 of docs/lessons.md: an error comes
// back through NAT, and its quote is what the host sent, all checksums right.
func TestRewriteQuote(t *testing.T) {
	r := newRand()
	for i := range 5000 {
		v6 := r.IntN(2) == 0
		host, as, far, router := randomAddr(r, v6), randomAddr(r, v6), randomAddr(r, v6), randomAddr(r, v6)
		sent := randomPacket(r, i, v6)
		rewrite(t, sent, as, far) // as the far end saw it
		original := bytes.Clone(sent)
		rewrite(t, original, host, far) // as the host sent it
		n := len(sent)
		if r.IntN(2) == 0 {
			// Cut somewhere behind the ports, but not inside a checksum: half
			// of one cannot be updated.
			n = min(n, (len(sent)-slowPayload(sent)+r.IntN(30))&^1)
		}
		checkQuoteIn(t, icmpError(router, errorType(r, v6), sent[:n]), host, original[:n])
		checkQuoteOut(t, icmpError(host, errorType(r, v6), swapped(t, original)[:n]), as, swapped(t, sent)[:n])
		if t.Failed() {
			t.Fatalf("round %d", i)
		}
	}
}

func errorType(r *rand.Rand, v6 bool) uint8 {
	if v6 {
		return uint8(1 + r.IntN(4))
	}
	return []uint8{3, 4, 5, 11, 12}[r.IntN(5)]
}

// slowPayload returns how much of b lies behind the first 8 bytes of its
// transport header.
func slowPayload(b []byte) int { return max(0, len(slowLayout(b).transport)-8) }

// swapped returns b with its addresses swapped.
func swapped(t *testing.T, b []byte) []byte {
	t.Helper()
	b = bytes.Clone(b)
	var p packet.Parsed
	p.Decode(b)
	rewrite(t, b, p.Dst.Addr(), p.Src.Addr())
	return b
}

// checkQuoteIn translates the destination of an error to host.
func checkQuoteIn(t *testing.T, b []byte, host netip.Addr, wantQuote []byte) {
	t.Helper()
	var p packet.Parsed
	p.Decode(b)
	if !p.SetDstAddr(host) {
		t.Fatalf("no rewriting of %v", p.String())
	}
	checkQuote(t, b, wantQuote)
}

// checkQuoteOut translates the source of an error the host sends to as.
func checkQuoteOut(t *testing.T, b []byte, as netip.Addr, wantQuote []byte) {
	t.Helper()
	var p packet.Parsed
	p.Decode(b)
	if !p.SetSrcAddr(as) {
		t.Fatalf("no rewriting of %v", p.String())
	}
	checkQuote(t, b, wantQuote)
}

func checkQuote(t *testing.T, b, wantQuote []byte) {
	t.Helper()
	wantChecksums(t, b)
	if quote := slowLayout(b).transport[8:]; !bytes.Equal(quote, wantQuote) {
		t.Errorf("quote\n got % x\nwant % x", quote, wantQuote)
	}
}

// TestRewriteQuoteOfOthers: a quote that is not of a packet to or from the
// translated address stays as it is, and so does one that cannot be read.
func TestRewriteQuoteOfOthers(t *testing.T) {
	router := netip.MustParseAddr("203.0.113.9")
	for _, quoted := range [][]byte{udp4(9), udp4(9)[:22], {0x45}, nil, bytes.Repeat([]byte{0xff}, 64)} {
		b := packet.Generate(packet.ICMPHeader{Src: router, Dst: dst4.Addr(), Type: 3}, quoted)
		checkQuoteIn(t, b, netip.MustParseAddr("10.9.8.7"), quoted)
	}
}

// TestRewriteQuoteWithoutLength: what segmentation offload leaves is translated
// as well.
func TestRewriteQuoteWithoutLength(t *testing.T) {
	host4, host6 := netip.MustParseAddr("10.9.8.7"), netip.MustParseAddr("2001:db8:7::7")
	for _, tt := range []struct {
		sent   []byte
		at     int
		router string
		host   netip.Addr
	}{
		{tcp4(9), 2, "203.0.113.9", host4},
		{udp4(9), 2, "203.0.113.9", host4},
		{tcp6(9), 4, "2001:db8:9::9", host6},
	} {
		var p packet.Parsed
		p.Decode(tt.sent)
		original := bytes.Clone(tt.sent)
		rewrite(t, original, tt.host, p.Dst.Addr())
		sent := edit(tt.sent, tt.at, 0, 0)
		original = edit(original, tt.at, 0, 0)
		// The IPv4 header's checksum covers the length: both have the same fault.
		b := icmpError(netip.MustParseAddr(tt.router), 3-uint8(tt.at/4), sent)
		checkQuoteIn(t, b, tt.host, original)
	}
}

// TestRewriteQuoteOfLaterFragment: only the quoted IP header is there to change.
func TestRewriteQuoteOfLaterFragment(t *testing.T) {
	host := netip.MustParseAddr("10.9.8.7")
	sent := fragment4(udp4(800), 800, true)
	original := bytes.Clone(sent)
	rewrite(t, original, host, dst4.Addr())
	checkQuoteIn(t, icmpError(netip.MustParseAddr("203.0.113.9"), 11, sent[:28]), host, original[:28])
}
