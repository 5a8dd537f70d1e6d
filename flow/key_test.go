package flow_test

import (
	"fmt"
	"net/netip"
	"testing"
	"unsafe"

	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

func TestKeyRoundTrip(t *testing.T) {
	for _, host := range []string{"1.2.3.4:5", "[2001:db8::1]:65535", "[::ffff:1.2.3.4]:5", "0.0.0.0:0", "[::]:0"} {
		for _, peer := range []string{"9.8.7.6:54", "[fd7a::2]:1", "[::ffff:9.8.7.6]:54"} {
			h, p := netip.MustParseAddrPort(host), netip.MustParseAddrPort(peer)
			k := flow.MakeKey(ipproto.UDP, h, p)
			if k.Proto() != ipproto.UDP || k.Host() != h || k.Peer() != p {
				t.Errorf("MakeKey(udp, %v, %v) holds %v, %v, %v", h, p, k.Proto(), k.Host(), k.Peer())
			}
		}
	}
}

func TestKeyDistinguishes(t *testing.T) {
	a, b := netip.MustParseAddrPort("1.2.3.4:5"), netip.MustParseAddrPort("6.7.8.9:10")
	mapped := netip.MustParseAddrPort("[::ffff:1.2.3.4]:5")
	keys := map[flow.Key]string{}
	for name, k := range map[string]flow.Key{
		"base":        flow.MakeKey(ipproto.TCP, a, b),
		"swapped":     flow.MakeKey(ipproto.TCP, b, a),
		"protocol":    flow.MakeKey(ipproto.UDP, a, b),
		"mapped host": flow.MakeKey(ipproto.TCP, mapped, b),
		"mapped peer": flow.MakeKey(ipproto.TCP, b, mapped),
		"host port":   flow.MakeKey(ipproto.TCP, netip.AddrPortFrom(a.Addr(), 6), b),
		"peer port":   flow.MakeKey(ipproto.TCP, a, netip.AddrPortFrom(b.Addr(), 11)),
		"zero":        {},
	} {
		if other, ok := keys[k]; ok {
			t.Errorf("%s and %s have the same key", name, other)
		}
		keys[k] = name
	}
}

func TestZeroKey(t *testing.T) {
	var k flow.Key
	if k.Host().IsValid() || k.Peer().IsValid() || k.Proto() != ipproto.Unknown {
		t.Errorf("the zero Key names %v", k)
	}
	if k != flow.MakeKey(0, netip.AddrPort{}, netip.AddrPort{}) {
		t.Error("the key of invalid addresses is not the zero Key")
	}
}

func TestKeySize(t *testing.T) {
	if n := unsafe.Sizeof(flow.Key{}); n != 40 {
		t.Errorf("a Key takes %d bytes, want 40", n)
	}
}

func TestKeyOfPackets(t *testing.T) {
	host, peer := netip.MustParseAddrPort("[fd7a::1]:1000"), netip.MustParseAddrPort("[fd7a::2]:53")
	var in, out packet.Parsed
	out.Decode(packet.Generate(packet.UDPHeader{Src: host, Dst: peer}, []byte("?")))
	in.Decode(packet.Generate(packet.UDPHeader{Src: peer, Dst: host}, []byte("!")))
	want := flow.MakeKey(ipproto.UDP, host, peer)
	if got := flow.Out(&out); got != want {
		t.Errorf("Out = %v, want %v", got, want)
	}
	if got := flow.In(&in); got != want {
		t.Errorf("In = %v, want %v", got, want)
	}
	in.Decode(packet.Generate(packet.IPHeader{Src: peer.Addr(), Dst: host.Addr(), Proto: ipproto.GRE}, nil))
	if got := flow.In(&in); got.Host().Port() != 0 || got.Peer().Port() != 0 || got.Proto() != ipproto.GRE {
		t.Errorf("In of a GRE packet = %v, want no ports", got)
	}
}

func ExampleKey() {
	k := flow.MakeKey(ipproto.TCP,
		netip.MustParseAddrPort("100.64.0.1:443"),
		netip.MustParseAddrPort("100.64.0.2:5000"))
	fmt.Println(k)
	// Output: tcp 100.64.0.1:443 <> 100.64.0.2:5000
}

// TestDatagram: fragments have one key exactly if they are of one datagram.
func TestDatagram(t *testing.T) {
	frag4 := func(src, dst string, proto ipproto.Proto, id uint16, at int) []byte {
		b := packet.Generate(packet.IPHeader{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Proto: proto, ID: id}, make([]byte, 40))
		b[6], b[7] = 0x20|byte(at>>11), byte(at>>3)
		return b
	}
	frag6 := func(src, dst string, next ipproto.Proto, id uint32, at int) []byte {
		h := []byte{byte(next), 0, byte(at >> 8), byte(at) | 1, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
		return packet.Generate(packet.IPHeader{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Proto: 44}, append(h, make([]byte, 40)...))
	}
	type key = flow.Key
	keys := make(map[key]string)
	for name, same := range map[string][][]byte{
		"IPv4":                  {frag4("10.0.0.1", "10.0.0.2", 17, 1, 0), frag4("10.0.0.1", "10.0.0.2", 17, 1, 8), frag4("10.0.0.1", "10.0.0.2", 17, 1, 4096)},
		"another ID":            {frag4("10.0.0.1", "10.0.0.2", 17, 2, 0)},
		"another protocol":      {frag4("10.0.0.1", "10.0.0.2", 6, 1, 24)},
		"another source":        {frag4("10.0.0.3", "10.0.0.2", 17, 1, 0)},
		"another destination":   {frag4("10.0.0.1", "10.0.0.3", 17, 1, 0)},
		"IPv6, any next header": {frag6("fd00::1", "fd00::2", 17, 1, 0), frag6("fd00::1", "fd00::2", 17, 1, 48), frag6("fd00::1", "fd00::2", 60, 1, 48)},
		"IPv6, lower half":      {frag6("fd00::1", "fd00::2", 17, 2, 0)},
		"IPv6, upper half":      {frag6("fd00::1", "fd00::2", 17, 1<<16|1, 0)},
	} {
		for i, b := range same {
			var p packet.Parsed
			p.Decode(b)
			in, ok := flow.InDatagram(&p)
			out, okOut := flow.OutDatagram(&p)
			if !ok || !okOut {
				t.Fatalf("%s: %v is no fragment", name, p.String())
			}
			if other, taken := keys[in]; taken != (i > 0) || taken && other != name {
				t.Errorf("%s %d has the key of %q", name, i, other)
			}
			keys[in] = name
			if in.Host().Addr() != p.Dst.Addr() || in.Peer().Addr() != p.Src.Addr() || out.Host().Addr() != p.Src.Addr() || out.Peer().Addr() != p.Dst.Addr() {
				t.Errorf("%s: keys %v and %v", name, in, out)
			}
		}
	}
	for _, b := range [][]byte{nil, packet.Generate(packet.IPHeader{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Proto: 17}, make([]byte, 40))} {
		var p packet.Parsed
		p.Decode(b)
		if k, ok := flow.InDatagram(&p); ok || k != (key{}) {
			t.Errorf("%v is of the datagram %v", p.String(), k)
		}
	}
}
