package packet_test

import (
	"bytes"
	"net/netip"
	"testing"

	"tstun/ipproto"
	"tstun/packet"
)

// seed adds every packet of the tables to a fuzz corpus.
func seed(f *testing.F) {
	for _, cases := range [][]decodeCase{ip4Cases(), option4Cases(), transportCases(), fragment4Cases(), ip6Cases(), extensionCases(), fragment6Cases()} {
		for _, tt := range cases {
			if len(tt.in) < 3000 {
				f.Add(tt.in)
			}
		}
	}
	f.Add(icmpError(netip.MustParseAddr("203.0.113.9"), 3, tcp4(9)))
	f.Add(icmpError(netip.MustParseAddr("2001:db8:9::9"), 2, withExtensions(udp6(9), ext(0, 1))))
	f.Add(packet.Generate(packet.TSMPRejected{Src: src4, Dst: dst4, Proto: ipproto.TCP, Reason: packet.RejectedByRules}, nil))
}

// FuzzDecode compares with gopacket. What Decode accepts, gopacket must see
// the same way; what Decode refuses, gopacket must refuse, or the difference
// is one that intended lists.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p packet.Parsed
		p.Decode(b)
		exercise(&p)
		o := secondOpinion(b)
		if p.Problem() != packet.ProblemNone {
			if o.ok && intended(&p, o) == "" {
				t.Fatalf("Decode: %v; gopacket: %+v", p.String(), o)
			}
			return
		}
		if !o.ok || o.badOptions {
			t.Fatalf("Decode accepts %v; gopacket: %+v", p.String(), o)
		}
		sameAs(t, &p, o)
	})
}

// exercise calls what must not panic on any packet.
func exercise(p *packet.Parsed) {
	describe(p)
	_ = p.String()
	p.DiscoKey()
	p.AsTSMPPing()
	p.AsTSMPPong()
	p.AsTSMPRejected()
}

// intended returns why Decode refuses a packet that gopacket accepts.
func intended(p *packet.Parsed, o opinion) string {
	switch p.Problem() {
	case packet.ProblemMalformed:
		switch {
		case o.totalZero && o.version == 4:
			return "gopacket takes total length 0 for a segmentation offload's; a TUN hands none over without a virtio header"
		case o.proto == 255 || o.proto == 0:
			return "reserved protocol numbers"
		case o.isFragment && o.before+o.offset+o.data > 65535:
			return "fragment past the end of any datagram; gopacket looks at no two of the fields together"
		case o.isFragment && o.more && o.data%8 != 0:
			return "fragment of odd length, as above"
		case o.isFragment && !o.first && o.data == 0:
			return "fragment of nothing, as above"
		}
	case packet.ProblemTruncated:
		switch {
		case o.udpZero:
			return "gopacket takes UDP length 0 for a jumbogram's, which a TUN does not carry"
		case o.shortICMPv6:
			return "gopacket decodes the first four bytes of ICMPv6 alone; every message has eight"
		}
	case packet.ProblemExtensionHeaders:
		fragments := bytes.Count(o.extensions, []byte{44})
		switch {
		case len(o.extensions) > 8:
			return "gopacket walks without bound"
		case o.badRouting:
			return "routing headers that are not at their end: RFC 5095"
		case bytes.LastIndexByte(o.extensions, 0) > 0:
			return "hop-by-hop headers come first: RFC 8200 §4.1"
		case fragments > 1:
			return "one fragment header at most"
		case o.isFragment && !o.first && o.proto == 0:
			return "hop-by-hop header in a later fragment"
		}
	case packet.ProblemOptions:
		if o.badOptions {
			return "source routes that are not at their end, and options that cannot be walked"
		}
	case packet.ProblemTinyFragment:
		if o.isFragment && (!o.first && o.offset < 20 || o.shortICMPv6 || o.udpZero) {
			return "RFC 3128, RFC 7112: gopacket does not reassemble"
		}
	}
	return ""
}

func sameAs(t *testing.T, p *packet.Parsed, o opinion) {
	t.Helper()
	if p.IPVersion != o.version || p.Src.Addr() != o.src || p.Dst.Addr() != o.dst || p.Proto() != o.proto {
		t.Errorf("Decode: %v; gopacket: %+v", p.String(), o)
	}
	if p.Src.Port() != o.sport || p.Dst.Port() != o.dport || uint8(p.TCPFlags) != o.flags {
		t.Errorf("Decode: %v > %v; gopacket: ports %d, %d, flags %#x", p.Src, p.Dst, o.sport, o.dport, o.flags)
	}
	if typ, code := p.ICMP(); typ != o.typ || code != o.code {
		t.Errorf("Decode: type %d code %d; gopacket: %d, %d", typ, code, o.typ, o.code)
	}
	if len(p.Payload()) != o.payload {
		t.Errorf("Decode: %d bytes of payload; gopacket: %d", len(p.Payload()), o.payload)
	}
	f, ok := p.Fragment()
	if ok != o.isFragment {
		t.Errorf("Fragment: %v; gopacket: %v", ok, o.isFragment)
	}
	if ok && (f.Offset != o.offset || f.More != o.more || f.ID != o.id || f.Len != o.data) {
		t.Errorf("Fragment: %+v; gopacket: %+v", f, o)
	}
	if isLater := o.isFragment && !o.first; isLater != (p.IPProto == ipproto.Fragment) || !isLater && p.IPProto != o.proto {
		t.Errorf("IPProto: %v; gopacket: %+v", p.IPProto, o)
	}
}

// fuzzAddrs returns two addresses of one family, of up to 32 bytes.
func fuzzAddrs(b []byte, v6 bool) (src, dst netip.Addr) {
	var raw [32]byte
	copy(raw[:], b)
	if v6 {
		return netip.AddrFrom16([16]byte(raw[:])), netip.AddrFrom16([16]byte(raw[16:]))
	}
	return netip.AddrFrom4([4]byte(raw[:])), netip.AddrFrom4([4]byte(raw[4:]))
}

// FuzzRewrite rewrites addresses and sums all checksums anew: those that were
// right stay right, those that were wrong stay wrong.
func FuzzRewrite(f *testing.F) {
	for _, b := range [][]byte{udp4(9), udp6(9), tcp4(8), tcp6(8), fragment4(udp4(8), 0, true), withExtensions(tcp6(9), ext(60, 1)),
		icmpError(netip.MustParseAddr("203.0.113.9"), 3, tcp4(9)), icmpError(netip.MustParseAddr("2001:db8:9::9"), 2, udp6(9))} {
		f.Add(b, []byte("some thirty-two random bytes ..."))
	}
	f.Add(ip6(protoUDPLite, make([]byte, 12)), []byte("another set of random bytes ...."))
	f.Fuzz(func(t *testing.T, b, addrs []byte) {
		var p packet.Parsed
		p.Decode(b)
		before := bytes.Clone(b)
		src, dst := fuzzAddrs(addrs, p.IPVersion == 6)
		if changed := p.SetSrcAddr(src); changed != (p.Problem() == packet.ProblemNone) || p.SetDstAddr(dst) != changed {
			t.Fatalf("SetSrcAddr of %v: %v", p.String(), changed)
		}
		if p.Problem() != packet.ProblemNone {
			if !bytes.Equal(b, before) {
				t.Fatalf("a packet with a problem was rewritten: %v", p.String())
			}
			return
		}
		compareChecksums(t, before, p.Buffer())
		var again packet.Parsed
		again.Decode(b)
		if describe(&again) != describe(&p) {
			t.Fatalf("after rewriting:\n      p %+v\ndecoded %+v", describe(&p), describe(&again))
		}
	})
}

const protoUDPLite = 136

// compareChecksums fails t if a checksum of after is right where that of
// before is not, or the other way round.
func compareChecksums(t *testing.T, before, after []byte) {
	t.Helper()
	ipWas, _ := slowChecksums(before)
	ipIs, _ := slowChecksums(after)
	lb, la := slowLayout(before), slowLayout(after)
	if ipWas != ipIs {
		t.Errorf("IP checksum right: was %v, is %v", ipWas, ipIs)
	}
	if len(lb.transport) < 8 {
		return
	}
	// Not only right or wrong: the sum is the same, so that a first fragment
	// still fits the data of the others.
	if was, is := slowTransportSum(before, lb), slowTransportSum(after, la); was%0xffff != is%0xffff {
		t.Errorf("transport sum: was %#04x, is %#04x", was, is)
	}
}

// FuzzQuoted: a quote is hostile, whatever carries it.
func FuzzQuoted(f *testing.F) {
	for _, b := range [][]byte{udp4(9), tcp4(9)[:28], udp6(9), withExtensions(tcp6(9), ext(60, 1), frag(0, true)), nil} {
		f.Add(b, uint8(3), false)
		f.Add(b, uint8(1), true)
	}
	f.Fuzz(func(t *testing.T, quote []byte, typ uint8, v6 bool) {
		h := packet.ICMPHeader{Src: src4.Addr(), Dst: dst4.Addr(), Type: typ}
		if v6 {
			h.Src, h.Dst = src6.Addr(), dst6.Addr()
		}
		b := packet.Generate(h, quote)
		if b == nil {
			return
		}
		var p, q packet.Parsed
		p.Decode(b)
		ok := p.Quoted(&q)
		exercise(&q)
		if ok != (q.Problem() == packet.ProblemNone && q.IPVersion == p.IPVersion && q.IPProto != ipproto.Fragment && !q.IsError()) {
			t.Errorf("Quoted: %v, %v", ok, q.String())
		}
		if ok && !bytes.HasPrefix(quote, q.Buffer()) {
			t.Errorf("Quoted: % x is not in % x", q.Buffer(), quote)
		}
		p.SetSrcAddr(q.Dst.Addr())
		p.SetDstAddr(q.Src.Addr())
		wantChecksums(t, p.Buffer())
	})
}

// FuzzResponses: an answer is a good packet that goes back where the other
// came from, and calls for no answer of the same kind.
func FuzzResponses(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p packet.Parsed
		p.Decode(b)
		before := bytes.Clone(b)
		if r, ok := p.EchoReply(); ok {
			q := answer(t, &p, r)
			if !q.IsEchoResponse() || q.EchoID() != p.EchoID() || !bytes.Equal(q.Payload(), p.Payload()) {
				t.Errorf("EchoReply to %v: %v", p.String(), q.String())
			}
		}
		if r, ok := p.TCPReset(); ok {
			q := answer(t, &p, r)
			if _, again := q.TCPReset(); again || q.Src != p.Dst || q.Dst != p.Src {
				t.Errorf("TCPReset to %v: %v", p.String(), q.String())
			}
		}
		if r, ok := p.AdminProhibited(); ok {
			q := answer(t, &p, r)
			if _, again := q.AdminProhibited(); again || !q.IsError() || !bytes.HasPrefix(p.Buffer(), q.Payload()) {
				t.Errorf("AdminProhibited to %v: %v", p.String(), q.String())
			}
		}
		if !bytes.Equal(b, before) {
			t.Error("answering changed the packet")
		}
	})
}

// answer decodes b, an answer to p.
func answer(t *testing.T, p *packet.Parsed, b []byte) *packet.Parsed {
	t.Helper()
	wantChecksums(t, b)
	q := new(packet.Parsed)
	q.Decode(b)
	if q.Problem() != packet.ProblemNone || q.Src.Addr() != p.Dst.Addr() || q.Dst.Addr() != p.Src.Addr() || len(b) > 65575 {
		t.Errorf("answer to %v: %v", p.String(), q.String())
	}
	return q
}
