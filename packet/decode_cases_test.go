package packet_test

import (
	"tstun/ipproto"
	"tstun/packet"
)

// bad returns the want of a packet with good IP addresses and a problem.
func bad(version uint8, proto ipproto.Proto, problem packet.Problem) decodeWant {
	return decodeWant{version: version, proto: proto, problem: problem, transport: -1, payload: -1}
}

var malformed = decodeWant{problem: packet.ProblemMalformed, transport: -1, payload: -1}

// tinyFragment returns the want of a fragment with too little in front.
func tinyFragment(version uint8, proto ipproto.Proto, f packet.Fragment) decodeWant {
	w := bad(version, proto, packet.ProblemTinyFragment)
	w.ipProto, w.fragment, w.fragmentValue = ipproto.Fragment, true, f
	return w
}

// laterFragment returns the want of a good fragment at another offset than 0.
func laterFragment(version uint8, proto ipproto.Proto, f packet.Fragment) decodeWant {
	return decodeWant{version: version, ipProto: ipproto.Fragment, proto: proto, transport: -1, payload: f.Len, fragment: true, fragmentValue: f}
}

type decodeCase struct {
	name string
	in   []byte
	want decodeWant
}

func whole(version uint8, proto ipproto.Proto, ports bool, transport, payload int) decodeWant {
	return decodeWant{version: version, ipProto: proto, proto: proto, ports: ports, transport: transport, payload: payload}
}

func ip4Cases() []decodeCase {
	udp := whole(4, ipproto.UDP, true, 18, 10)
	trailing := udp
	trailing.buffer = 38
	return []decodeCase{
		{"nil", nil, malformed},
		{"one byte", []byte{0x45}, malformed},
		{"19 bytes", udp4(10)[:19], malformed},
		{"version 0", edit(udp4(10), 0, 0x05), malformed},
		{"version 5", edit(udp4(10), 0, 0x55), malformed},
		{"version 15", edit(udp4(10), 0, 0xf5), malformed},
		{"UDP", udp4(10), udp},
		{"trailing bytes", append(udp4(10), 1, 2, 3), trailing},
		{"total length beyond buffer", edit(udp4(10), 2, 0, 39), malformed},
		{"total length 65535", edit(udp4(10), 2, 0xff, 0xff), malformed},
		{"total length below header", edit(udp4(10), 2, 0, 19), malformed},
		{"total length 0", edit(udp4(10), 2, 0, 0), malformed},
		{"IHL 0", edit(udp4(10), 0, 0x40), malformed},
		{"IHL 4", edit(udp4(10), 0, 0x44), malformed},
		{"IHL beyond packet", edit(udp4(10), 0, 0x4f), malformed},
		{"options", options4(udp4(10), 8), udp},
		{"options, 40 bytes", options4(udp4(10), 40), udp},
		{"IHL takes UDP for options", edit(udp4(10), 0, 0x49), bad(4, ipproto.UDP, packet.ProblemOptions)},
		{"options hide part of UDP", cut(options4(udp4(10), 8), 30), bad(4, ipproto.UDP, packet.ProblemTruncated)},
		{"header alone, GRE", ip4(ipproto.GRE, nil), whole(4, ipproto.GRE, false, 0, 0)},
		{"protocol 0", ip4(0, make([]byte, 8)), malformed},
		{"protocol 255", ip4(255, make([]byte, 8)), malformed},
		{"protocol 255, fragment", fragment4(ip4(255, make([]byte, 8)), 8, true), malformed},
		{"GRE", ip4(ipproto.GRE, make([]byte, 8)), whole(4, ipproto.GRE, false, 8, 8)},
		{"ESP", ip4(50, make([]byte, 9)), whole(4, 50, false, 9, 9)},
		{"AH is no extension header in IPv4", ip4(51, make([]byte, 24)), whole(4, 51, false, 24, 24)},
		{"IGMP", ip4(ipproto.IGMP, make([]byte, 8)), whole(4, ipproto.IGMP, false, 8, 8)},
		{"TSMP", ip4(ipproto.TSMP, make([]byte, 9)), whole(4, ipproto.TSMP, false, 9, 9)},
		{"ICMPv6 in IPv4", ip4(ipproto.ICMPv6, make([]byte, 3)), whole(4, ipproto.ICMPv6, false, 3, 3)},
		{"don't fragment and the reserved bit", edit(udp4(10), 6, 0xc0), udp},
	}
}

// option4 puts options into an IPv4 header, whose length they round up.
func option4(b []byte, options ...byte) []byte {
	return edit(options4(b, (len(options)+3)/4*4), 20, options...)
}

func option4Cases() []decodeCase {
	good := whole(4, ipproto.UDP, true, 18, 10)
	refused := bad(4, ipproto.UDP, packet.ProblemOptions)
	var cases []decodeCase
	for kind, name := range map[byte]string{131: "loose", 137: "strict"} {
		cases = append(cases,
			decodeCase{name + " route, hop left", option4(udp4(10), kind, 7, 4, 10, 0, 0, 1), refused},
			decodeCase{name + " route, second of two hops left", option4(udp4(10), kind, 11, 8, 10, 0, 0, 1, 10, 0, 0, 2), refused},
			decodeCase{name + " route, part of a hop left", option4(udp4(10), kind, 7, 7, 10, 0, 0, 1), refused},
			decodeCase{name + " route, used up", option4(udp4(10), kind, 7, 8, 10, 0, 0, 1), good},
			decodeCase{name + " route, empty", option4(udp4(10), kind, 3, 4, 0), good},
			decodeCase{name + " route, no pointer", option4(udp4(10), kind, 2), refused},
			decodeCase{name + " route, pointer too low", option4(udp4(10), kind, 3, 0), refused},
			decodeCase{name + " route behind others", option4(udp4(10), 1, 1, 7, 4, 4, 0, kind, 7, 4, 10, 0, 0, 1), refused},
			decodeCase{name + " route in a first fragment", fragment4(option4(udp4(14), kind, 7, 4, 10, 0, 0, 1), 0, true), refused},
			decodeCase{name + " route in a later fragment", fragment4(option4(udp4(14), kind, 7, 4, 10, 0, 0, 1), 64, true), refused},
			decodeCase{name + " route behind the end of the list", option4(udp4(10), 0, kind, 7, 4, 10, 0, 0, 1), good},
		)
	}
	return append(cases,
		decodeCase{"option of length 0", option4(udp4(10), 7, 0), refused},
		decodeCase{"option of length 1", option4(udp4(10), 7, 1), refused},
		decodeCase{"option without a length", option4(udp4(10), 1, 1, 1, 7), refused},
		decodeCase{"option longer than the header", option4(udp4(10), 7, 9, 4, 0, 0, 0, 0, 0), refused},
		decodeCase{"option to the end of the header", option4(udp4(10), 7, 8, 4, 0, 0, 0, 0, 0), good},
		decodeCase{"router alert", option4(udp4(10), 148, 4, 0, 0), good},
	)
}

func transportCases() []decodeCase {
	truncated := func(proto ipproto.Proto) decodeWant { return bad(4, proto, packet.ProblemTruncated) }
	sctp := append([]byte{0x0f, 0xa0, 0, 80}, make([]byte, 12)...)
	icmp := packet.Generate(packet.ICMPHeader{Src: src4.Addr(), Dst: dst4.Addr(), Type: 8}, make([]byte, 5))
	icmp6 := packet.Generate(packet.ICMPHeader{Src: src6.Addr(), Dst: dst6.Addr(), Type: 128}, make([]byte, 5))
	return []decodeCase{
		{"UDP header cut", cut(udp4(10), 27), truncated(ipproto.UDP)},
		{"UDP header absent", cut(udp4(10), 20), truncated(ipproto.UDP)},
		{"UDP empty", udp4(0), whole(4, ipproto.UDP, true, 8, 0)},
		{"UDP length 7", edit(udp4(10), 24, 0, 7), truncated(ipproto.UDP)},
		{"UDP length 0", edit(udp4(10), 24, 0, 0), truncated(ipproto.UDP)},
		{"UDP length beyond packet", edit(udp4(10), 24, 0, 19), truncated(ipproto.UDP)},
		{"UDP length below packet", edit(udp4(10), 24, 0, 12), whole(4, ipproto.UDP, true, 12, 4)},
		{"UDP to the end of a packet with trailing bytes", edit(append(udp4(10), 1, 2), 24, 0, 20), func() decodeWant { w := truncated(ipproto.UDP); w.buffer = 38; return w }()},
		{"TCP", tcp4(7), whole(4, ipproto.TCP, true, 27, 7)},
		{"TCP header cut", cut(tcp4(7), 39), truncated(ipproto.TCP)},
		{"TCP data offset 4", edit(tcp4(7), 32, 0x40), truncated(ipproto.TCP)},
		{"TCP data offset 0", edit(tcp4(7), 32, 0x00), truncated(ipproto.TCP)},
		{"TCP options", edit(tcp4(7), 32, 0x60), whole(4, ipproto.TCP, true, 27, 3)},
		{"TCP options beyond packet", edit(tcp4(7), 32, 0x70), truncated(ipproto.TCP)},
		{"SCTP", ip4(ipproto.SCTP, sctp), whole(4, ipproto.SCTP, true, 16, 4)},
		{"SCTP cut", ip4(ipproto.SCTP, sctp[:11]), truncated(ipproto.SCTP)},
		{"ICMPv4", icmp, whole(4, ipproto.ICMPv4, false, 13, 5)},
		{"ICMPv4 cut", cut(icmp, 27), truncated(ipproto.ICMPv4)},
		{"ICMPv6", icmp6, whole(6, ipproto.ICMPv6, false, 13, 5)},
		{"ICMPv6 cut", cut(icmp6, 47), bad(6, ipproto.ICMPv6, packet.ProblemTruncated)},
		{"port 0", edit(udp4(10), 20, 0, 0, 0, 0), whole(4, ipproto.UDP, false, 18, 10)},
	}
}

// Packets of docs/lessons.md row 8: fragments may not carry what is denied.
func fragment4Cases() []decodeCase {
	value := func(offset, n int, more bool) packet.Fragment {
		return packet.Fragment{Offset: offset, Len: n, More: more}
	}
	first := func(proto ipproto.Proto, head, n int) decodeWant {
		w := whole(4, proto, true, n, n-head)
		w.fragment, w.fragmentValue = true, value(0, n, true)
		return w
	}
	big := make([]byte, 65515)
	return []decodeCase{
		{"first UDP fragment", fragment4(udp4(8), 0, true), first(ipproto.UDP, 8, 16)},
		{"first UDP fragment of a longer datagram", edit(fragment4(udp4(8), 0, true), 24, 0xff, 0), first(ipproto.UDP, 8, 16)},
		{"first TCP fragment", fragment4(tcp4(12), 0, true), first(ipproto.TCP, 20, 32)},
		{"first TCP fragment with half a header", fragment4(cut(tcp4(12), 28), 0, true), tinyFragment(4, ipproto.TCP, value(0, 8, true))},
		{"first TCP fragment with cut options", edit(fragment4(tcp4(4), 0, true), 32, 0x80), tinyFragment(4, ipproto.TCP, value(0, 24, true))},
		{"first UDP fragment, empty", fragment4(cut(udp4(8), 20), 0, true), tinyFragment(4, ipproto.UDP, value(0, 0, true))},
		{"first ICMP fragment, empty", fragment4(ip4(ipproto.ICMPv4, nil), 0, true), tinyFragment(4, ipproto.ICMPv4, value(0, 0, true))},
		{"first fragment, not a multiple of 8", fragment4(udp4(9), 0, true), malformed},
		{"later fragment", fragment4(udp4(8), 1480, true), laterFragment(4, ipproto.UDP, value(1480, 16, true))},
		{"last fragment", fragment4(udp4(9), 1480, false), laterFragment(4, ipproto.UDP, value(1480, 17, false))},
		{"later fragment, not a multiple of 8", fragment4(udp4(9), 1480, true), malformed},
		{"later fragment, empty", fragment4(cut(udp4(8), 20), 1480, false), malformed},
		{"later TCP fragment over the ports", fragment4(tcp4(4), 8, true), tinyFragment(4, ipproto.TCP, value(8, 24, true))},
		{"later TCP fragment over the window", fragment4(tcp4(4), 16, false), tinyFragment(4, ipproto.TCP, value(16, 24, false))},
		{"later TCP fragment behind the header", fragment4(tcp4(4), 24, false), laterFragment(4, ipproto.TCP, value(24, 24, false))},
		{"later SCTP fragment over the header", fragment4(ip4(ipproto.SCTP, make([]byte, 16)), 8, false), tinyFragment(4, ipproto.SCTP, value(8, 16, false))},
		{"later UDP fragment behind the header", fragment4(udp4(8), 8, false), laterFragment(4, ipproto.UDP, value(8, 16, false))},
		{"fragment of GRE", fragment4(ip4(ipproto.GRE, make([]byte, 8)), 0, true), func() decodeWant {
			w := first(ipproto.GRE, 0, 8)
			w.ports = false
			return w
		}()},
		{"fragment past 65535", fragment4(udp4(16), 65528, false), malformed},
		{"fragment to 65535 with its header", fragment4(ip4(ipproto.UDP, big[:19]), 65496, false), laterFragment(4, ipproto.UDP, value(65496, 19, false))},
		{"fragment to 65536 with its header", fragment4(ip4(ipproto.UDP, big[:20]), 65496, false), malformed},
		{"fragment ID", edit(fragment4(udp4(8), 800, false), 4, 0xbe, 0xef), laterFragment(4, ipproto.UDP, packet.Fragment{ID: 0xbeef, Offset: 800, Len: 16})},
	}
}

func ip6Cases() []decodeCase {
	udp := whole(6, ipproto.UDP, true, 18, 10)
	trailing := udp
	trailing.buffer = 58
	return []decodeCase{
		{"IPv6 39 bytes", udp6(10)[:39], malformed},
		{"IPv6 UDP", udp6(10), udp},
		{"IPv6 TCP", tcp6(10), whole(6, ipproto.TCP, true, 30, 10)},
		{"IPv6 trailing bytes", append(udp6(10), 1, 2, 3), trailing},
		{"IPv6 payload length beyond buffer", edit(udp6(10), 4, 0, 19), malformed},
		{"IPv6 payload length 65535", edit(udp6(10), 4, 0xff, 0xff), malformed},
		{"IPv6 payload length below UDP", edit(udp6(10), 4, 0, 7), func() decodeWant {
			w := bad(6, ipproto.UDP, packet.ProblemTruncated)
			w.buffer = 47
			return w
		}()},
		{"IPv6 payload absent", cut(udp6(10), 40), bad(6, ipproto.UDP, packet.ProblemTruncated)},
		{"IPv6 jumbogram", edit(cut(withExtensions(udp6(10), ext(0, 1)), 66), 4, 0, 0), malformed},
		{"IPv6 no next header, empty", ip6(59, nil), whole(6, 59, false, 0, 0)},
		{"IPv6 no next header, ignored bytes", ip6(59, make([]byte, 5)), whole(6, 59, false, 5, 5)},
		{"IPv6 protocol 255", ip6(255, make([]byte, 8)), malformed},
		{"IPv6 ESP", ip6(50, make([]byte, 8)), whole(6, 50, false, 8, 8)},
		{"IPv6 ICMPv4", ip6(ipproto.ICMPv4, make([]byte, 3)), whole(6, ipproto.ICMPv4, false, 3, 3)},
		{"IPv6 IGMP", ip6(ipproto.IGMP, make([]byte, 3)), whole(6, ipproto.IGMP, false, 3, 3)},
		{"IPv6 mobility header is a protocol", ip6(135, make([]byte, 8)), whole(6, 135, false, 8, 8)},
	}
}

// Packets of docs/lessons.md row 9: a walk that cannot end is a drop.
func extensionCases() []decodeCase {
	udp := whole(6, ipproto.UDP, true, 18, 10)
	refused := bad(6, ipproto.Unknown, packet.ProblemExtensionHeaders)
	with := func(exts ...extension) []byte { return withExtensions(udp6(10), exts...) }
	auth := extension{kind: 51, body: make([]byte, 10)}
	return []decodeCase{
		{"hop-by-hop", with(ext(0, 1)), udp},
		{"destination options, 264 bytes", with(ext(60, 33)), udp},
		{"all in the usual order", with(ext(0, 1), ext(60, 2), routing(2, 0), auth, ext(60, 1)), udp},
		{"hop-by-hop twice", with(ext(0, 1), ext(0, 1)), refused},
		{"hop-by-hop second", with(ext(60, 1), ext(0, 1)), refused},
		{"hop-by-hop behind a later fragment header", with(frag(800, false), ext(0, 1)), func() decodeWant {
			w := refused
			w.fragment = true
			w.fragmentValue = packet.Fragment{ID: 0xabcd1234, Offset: 800, Len: 26}
			return w
		}()},
		{"eight", with(repeat(8, ext(60, 1))...), udp},
		{"nine", with(repeat(9, ext(60, 1))...), refused},
		{"a hundred", with(repeat(100, ext(60, 1))...), refused},
		{"longest that a length byte can say", with(extension{kind: 60, body: make([]byte, 2046)}), udp},
		{"length beyond packet", with(extension{kind: 60, body: make([]byte, 6), length: 255}), refused},
		{"packet ends in header", cut(with(ext(60, 2)), 47), refused},
		{"packet ends behind header", cut(with(ext(60, 2)), 56), bad(6, ipproto.UDP, packet.ProblemTruncated)},
		{"next header promises another", ip6(60, nil), refused},
		{"routing type 0", with(routing(0, 0)), refused},
		{"routing type 0, segments left", with(routing(0, 1)), refused},
		{"routing type 4 with a segment left", with(routing(4, 1)), refused},
		{"routing type 4, arrived", with(routing(4, 0)), udp},
		{"AH", with(auth), udp},
		{"AH of length 0", with(extension{kind: 51, body: make([]byte, 6), lengthZero: true, length: 0}), refused},
		{"AH beyond packet", with(extension{kind: 51, body: make([]byte, 10), length: 200}), refused},
		{"atomic fragment", with(frag(0, false)), udp},
		{"atomic fragment, reserved bits", with(extension{kind: 44, body: fragmentBody(6, false, 1)}), udp},
		{"two atomic fragments", with(frag(0, false), frag(0, false)), refused},
		{"fragment header cut", cut(with(frag(0, false)), 47), refused},
	}
}

func fragment6Cases() []decodeCase {
	value := func(offset, n int, more bool) packet.Fragment {
		return packet.Fragment{ID: 0xabcd1234, Offset: offset, Len: n, More: more}
	}
	first := func(transport, payload, n int) decodeWant {
		w := whole(6, ipproto.UDP, true, transport, payload)
		w.fragment, w.fragmentValue = true, value(0, n, true)
		return w
	}
	with := func(n int, exts ...extension) []byte { return withExtensions(udp6(n), exts...) }
	twoFragments := bad(6, ipproto.Unknown, packet.ProblemExtensionHeaders)
	twoFragments.fragment, twoFragments.fragmentValue = true, value(0, 24, true)
	return []decodeCase{
		{"IPv6 first fragment", with(8, frag(0, true)), first(16, 8, 16)},
		{"IPv6 first fragment behind hop-by-hop", with(8, ext(0, 1), frag(0, true)), first(16, 8, 16)},
		{"IPv6 first fragment before options", with(8, frag(0, true), ext(60, 1)), first(16, 8, 24)},
		{"IPv6 first fragment, not a multiple of 8", with(9, frag(0, true)), malformed},
		{"IPv6 first fragment without its header", cut(with(8, frag(0, true)), 48), tinyFragment(6, ipproto.UDP, value(0, 0, true))},
		{"IPv6 first fragment with half a TCP header", cut(withExtensions(tcp6(4), frag(0, true)), 64), tinyFragment(6, ipproto.TCP, value(0, 16, true))},
		{"IPv6 first fragment inside the header chain", cut(with(8, frag(0, true), ext(60, 4)), 56), tinyFragment(6, ipproto.Unknown, value(0, 8, true))},
		{"IPv6 first fragment at the end of the header chain", cut(with(8, frag(0, true), ext(60, 1)), 56), tinyFragment(6, ipproto.UDP, value(0, 8, true))},
		{"IPv6 two fragment headers", with(8, frag(0, true), frag(0, true)), twoFragments},
		{"IPv6 later fragment", with(8, frag(1400, true)), laterFragment(6, ipproto.UDP, value(1400, 16, true))},
		{"IPv6 last fragment", with(9, frag(1400, false)), laterFragment(6, ipproto.UDP, value(1400, 17, false))},
		{"IPv6 later fragment of options", with(8, frag(1400, false), ext(60, 1)), laterFragment(6, 60, value(1400, 24, false))},
		{"IPv6 later fragment, protocol 255", withExtensions(ip6(255, make([]byte, 8)), frag(1400, true)), malformed},
		{"IPv6 later fragment, empty", cut(with(8, frag(1400, false)), 48), malformed},
		{"IPv6 later TCP fragment over the header", withExtensions(tcp6(4), frag(16, false)), tinyFragment(6, ipproto.TCP, value(16, 24, false))},
		{"IPv6 fragment past 65535", with(8, frag(65520, true)), malformed},
		{"IPv6 fragment to 65535", with(7, frag(65520, false)), laterFragment(6, ipproto.UDP, value(65520, 15, false))},
		{"IPv6 fragment past 65535 with the options before it", with(7, ext(0, 1), frag(65520, false)), malformed},
	}
}
