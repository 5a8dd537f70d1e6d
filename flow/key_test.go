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
