package filter_test

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

// extended puts a chain of n destination options before the payload of b.
func extended(b []byte, n int) []byte {
	next := b[6]
	var chain []byte
	for i := range n {
		h := []byte{60, 0, 1, 4, 0, 0, 0, 0}
		if i == n-1 {
			h[0] = next
		}
		chain = append(chain, h...)
	}
	p := append(append(append([]byte{}, b[:40]...), chain...), b[40:]...)
	p[6] = 60
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	return p
}

// routed puts a loose source route of one hop before the payload of b, an
// IPv4 packet. pointer is 4 before that hop and 8 behind it; length is that of
// the option, 7 unless given.
func routed(b []byte, pointer byte, length ...byte) []byte {
	option := []byte{131, 7, pointer, 100, 64, 0, 9, 0}
	copy(option[1:2], length)
	p := append(append(append([]byte{}, b[:20]...), option...), b[20:]...)
	p[0] = 0x47
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	craft.FixHeader(p)
	return p
}

func udpBetween(src, dst string) []byte {
	return packet.Generate(packet.UDPHeader{Src: addrPort(src, 5000), Dst: addrPort(dst, 80)}, []byte("data"))
}

// TestReasons raises each reason of a Filter, in each direction that it has.
// (docs/lessons.md 9, 10, 14)
func TestReasons(t *testing.T) {
	e4, e6 := ends4(80, 5000), ends6(80, 5000)
	big := packet.Generate(packet.UDPHeader{Src: e4.peer, Dst: e4.host}, make([]byte, 64))
	tests := []struct {
		name  string
		setup []event
		flags filter.RunFlags
		in    []byte // nil: not raised inbound
		out   []byte
		want  filter.Reason
	}{
		{name: "empty", in: []byte{}, out: []byte{}, want: filter.ReasonMalformed},
		{name: "version 5", in: []byte{0x50, 0, 0, 0}, out: []byte{0x50, 0, 0, 0}, want: filter.ReasonMalformed},
		{name: "header length 4", in: withByte(big, 0, 0x44), out: withByte(big, 0, 0x44), want: filter.ReasonMalformed},
		{name: "total length past the end", in: big[:len(big)-1], out: big[:len(big)-1], want: filter.ReasonMalformed},
		{name: "no room for ports", in: plain(ipproto.TCP, e4.peer, e4.host), out: plain(ipproto.TCP, e4.host, e4.peer),
			want: filter.ReasonTruncated},
		{name: "extension headers without end", in: extended(e6.udpIn().b, 100), out: extended(e6.udpOut().b, 100),
			want: filter.ReasonExtensionHeaders},
		{name: "source route", in: routed(e4.udpIn().b, 4), out: routed(e4.udpOut().b, 4), want: filter.ReasonIPOptions},
		{name: "source route in an open flow", setup: []event{e4.udpOut()}, in: routed(e4.udpIn().b, 4),
			want: filter.ReasonIPOptions},
		{name: "options without end", in: routed(e4.udpIn().b, 4, 200), want: filter.ReasonIPOptions},
		{name: "source route, used up", in: routed(e4.udpIn().b, 8), want: filter.ReasonNoRule},
		{name: "multicast", in: udpBetween(peer4, "224.0.0.251"), out: udpBetween(host4, "239.1.2.3"),
			want: filter.ReasonMulticast},
		{name: "multicast v6", in: udpBetween(peer6, "ff02::fb"), out: udpBetween(host6, "ff0e::1"),
			want: filter.ReasonMulticast},
		{name: "multicast source", in: udpBetween("224.0.0.1", host4), out: udpBetween("ff02::1", peer6),
			want: filter.ReasonMartian},
		{name: "link-local", in: udpBetween("169.254.1.1", host4), out: udpBetween(host4, "169.254.1.1"),
			want: filter.ReasonLinkLocal},
		{name: "link-local v6", in: udpBetween("fe80::1", host6), out: udpBetween(host6, "fe80::1"),
			want: filter.ReasonLinkLocal},
		{name: "mapped source", in: udpBetween("::ffff:100.64.0.2", host6), out: udpBetween("::ffff:100.64.0.1", peer6),
			want: filter.ReasonMappedAddr},
		{name: "mapped destination", in: udpBetween(peer6, "::ffff:100.64.0.1"), out: udpBetween(host6, "::ffff:127.0.0.1"),
			want: filter.ReasonMappedAddr},
		{name: "loopback", in: udpBetween("127.0.0.1", host4), out: udpBetween(host4, "127.9.9.9"),
			want: filter.ReasonMartian},
		{name: "loopback v6", in: udpBetween("::1", host6), out: udpBetween(host6, "::1"), want: filter.ReasonMartian},
		{name: "unspecified", in: udpBetween("0.0.0.0", host4), out: udpBetween("0.1.2.3", peer4), want: filter.ReasonMartian},
		{name: "unspecified v6", in: udpBetween("::", host6), out: udpBetween(host6, "::"), want: filter.ReasonMartian},
		{name: "broadcast", in: udpBetween(peer4, "255.255.255.255"), out: udpBetween(host4, "255.255.255.255"),
			want: filter.ReasonMartian},
		{name: "class E", in: udpBetween("240.0.0.1", host4), out: udpBetween(host4, "250.0.0.1"), want: filter.ReasonMartian},
		{name: "not local", in: udpBetween(peer4, "100.64.0.9"), want: filter.ReasonNotLocal},
		{name: "not local v6", in: udpBetween(peer6, "fd7a::9"), want: filter.ReasonNotLocal},
		{name: "tiny first fragment", in: craft.Cut(e4.tcpIn(syn).b, 1, 0, 8), out: craft.Cut(e4.tcpOut(syn).b, 1, 0, 8),
			want: filter.ReasonFragmentTiny},
		{name: "second fragment in the TCP header", in: craft.Cut(e4.tcpIn(syn).b, 1, 8, 99),
			out: craft.Cut(e4.tcpOut(syn).b, 1, 8, 99), want: filter.ReasonFragmentTiny},
		{name: "orphan", in: craft.Cut(big, 1, 16, 99), want: filter.ReasonFragmentOrphan},
		{name: "orphan v6", in: craft.Cut(e6.udpIn().b, 1, 8, 99), want: filter.ReasonFragmentOrphan},
		{name: "later fragment of a refused one", setup: []event{in(craft.Cut(big, 1, 0, 16))},
			in: craft.Cut(big, 1, 16, 99), want: filter.ReasonFragmentDenied},
		{name: "overlap with the first", setup: []event{e4.udpOut(), in(craft.Cut(big, 1, 0, 32))},
			in: craft.Cut(big, 1, 24, 99), want: filter.ReasonFragmentOverlap},
		{name: "two firsts", setup: []event{e4.udpOut(), in(craft.Cut(big, 1, 0, 32))},
			in: craft.Cut(big, 1, 0, 40), want: filter.ReasonFragmentOverlap},
		{name: "no rule", in: e4.udpIn().b, want: filter.ReasonNoRule},
		{name: "no rule v6", in: e6.tcpIn(syn).b, want: filter.ReasonNoRule},
		{name: "no rule, ICMP that is no echo", in: craft.ICMP(e4.peer.Addr(), e4.host.Addr(), 13, 140, 0, [4]byte{}, nil),
			want: filter.ReasonNoRule},
		{name: "jailed", flags: filter.Jailed, in: e4.udpIn().b, want: filter.ReasonJailed},
		{name: "echo reply unasked for", in: e4.pongIn(3).b, want: filter.ReasonNoFlow},
		{name: "echo reply with another id", setup: []event{e4.pingOut(2)}, in: e4.pongIn(3).b, want: filter.ReasonNoFlow},
		{name: "ICMP error unasked for", in: errorIn("100.64.0.7", e4.host.Addr(), e4.udpOut()).b, want: filter.ReasonNoFlow},
		{name: "ICMPv4 redirect", setup: []event{e4.udpOut()},
			in:   craft.ICMP(addr("100.64.0.7"), e4.host.Addr(), 5, 5, 1, [4]byte{100, 64, 0, 3}, e4.udpOut().b),
			want: filter.ReasonNoFlow},
		{name: "ICMPv4 source quench", setup: []event{e4.udpOut()},
			in:   craft.ICMP(addr("100.64.0.7"), e4.host.Addr(), 4, 4, 0, [4]byte{}, e4.udpOut().b),
			want: filter.ReasonNoFlow},
		{name: "ICMPv6 redirect", setup: []event{e6.udpOut()},
			in:   craft.ICMP(addr("fd7a::7"), e6.host.Addr(), 137, 137, 0, [4]byte{}, e6.udpOut().b),
			want: filter.ReasonNoFlow},
		{name: "ICMP error v6", in: errorIn("fd7a::7", e6.host.Addr(), e6.udpOut()).b, want: filter.ReasonNoFlow},
	}
	raised := map[filter.Reason]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFilter(t, filter.Config{})
			for _, ev := range tt.setup {
				judge(f, 0, ev, 0)
			}
			if tt.in != nil {
				expectFlags(t, f, 1, in(tt.in), tt.flags, tt.want)
			}
			if tt.out != nil {
				expectFlags(t, f, 1, out(tt.out), tt.flags, tt.want)
			}
			raised[tt.want] = true
		})
	}
	raised[filter.ReasonShieldsUp], raised[filter.ReasonRevoked] = true, true // TestMatrix, TestSwap
	for _, r := range filter.Reasons() {
		if raised[r] != r.IsFilters() {
			t.Errorf("%v: raised by a case of this test: %v; a Filter's, since up to ReasonRevoked: %v", r, raised[r], r.IsFilters())
		}
	}
}

func withByte(b []byte, at int, v byte) []byte {
	c := append([]byte{}, b...)
	c[at] = v
	return c
}

func TestPermit(t *testing.T) {
	all := filter.Permit{Multicast: true, LinkLocal: true, Mapped: true, Martian: true}
	tests := []struct {
		name     string
		src, dst string
		only     filter.Permit
	}{
		{"multicast", peer4, "224.0.0.251", filter.Permit{Multicast: true}},
		{"multicast v6", peer6, "ff02::fb", filter.Permit{Multicast: true}},
		{"link-local", "169.254.1.1", host4, filter.Permit{LinkLocal: true}},
		{"link-local v6", "fe80::1", host6, filter.Permit{LinkLocal: true}},
		{"mapped", "::ffff:100.64.0.2", "::ffff:100.64.0.1", filter.Permit{Mapped: true}},
		{"martian", "127.0.0.1", host4, filter.Permit{Martian: true}},
		{"multicast source", "224.0.0.1", host4, filter.Permit{Martian: true}},
		{"mapped martian", "::ffff:127.0.0.1", "::ffff:100.64.0.1", filter.Permit{Mapped: true, Martian: true}},
	}
	allow := []filter.Match{{Srcs: anywhere, Dsts: to(port(80), "0.0.0.0/0", "::/0")}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := udpBetween(tt.src, tt.dst)
			for _, permit := range []filter.Permit{all, tt.only} {
				f := newFilter(t, filter.Config{Matches: allow, Permit: permit})
				expect(t, f, 0, in(b), none)
				expect(t, f, 0, out(b), none)
			}
			f := newFilter(t, filter.Config{Permit: all})
			expect(t, f, 0, in(b), noRule) // permitted is not allowed
			f = newFilter(t, filter.Config{Matches: allow})
			if v := judge(f, 0, in(b), 0); v.Response != filter.DropSilently {
				t.Errorf("not permitted: %v", v)
			}
		})
	}
}

// Mapped addresses, where permitted, do not dodge the rules for IPv4.
func TestMappedIsJudgedAsIPv4(t *testing.T) {
	m := filter.Match{Srcs: nets(peer4 + "/32"), Dsts: to(port(80), host4+"/32")}
	f := newFilter(t, filter.Config{Matches: []filter.Match{m}, Permit: filter.Permit{Mapped: true}})
	expect(t, f, 0, in(udpBetween("::ffff:100.64.0.2", "::ffff:100.64.0.1")), none)
	expect(t, f, 0, in(udpBetween("::ffff:100.64.0.3", "::ffff:100.64.0.1")), noRule)
	expect(t, f, 0, in(udpBetween("::ffff:100.64.0.2", "::ffff:100.64.0.9")), filter.ReasonNotLocal)
}

func TestReasonText(t *testing.T) {
	if len(filter.Reasons()) != filter.NumReasons-1 {
		t.Fatalf("%d reasons, NumReasons %d", len(filter.Reasons()), filter.NumReasons)
	}
	names := map[string]bool{}
	for _, r := range append(filter.Reasons(), none) {
		if r.String() == "" || r.Explain() == "" || names[r.String()] {
			t.Errorf("reason %d: name %q, sentence %q", r, r, r.Explain())
		}
		names[r.String()] = true
		text, _ := json.Marshal(map[filter.Reason]int{r: 1})
		var back map[filter.Reason]int
		if err := json.Unmarshal(text, &back); err != nil || back[r] != 1 {
			t.Errorf("%s became %v, %v", text, back, err)
		}
	}
	unknown := filter.Reason(200)
	if unknown.String() != "reason-200" || unknown.UnmarshalText([]byte("reason-200")) == nil {
		t.Error("an unknown reason must print and not parse")
	}
}

func TestResponseText(t *testing.T) {
	for r, want := range map[filter.Response]string{
		filter.Drop: "drop", filter.DropSilently: "drop-silently", filter.Accept: "accept",
		filter.Handled: "handled", 77: "response-77", -1: "response--1",
	} {
		if r.String() != want {
			t.Errorf("%d is %q, want %q", int(r), r, want)
		}
		if r.IsDrop() != (r == filter.Drop || r == filter.DropSilently) {
			t.Errorf("IsDrop of %v is wrong", r)
		}
	}
}
