package bundle

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"net/netip"
	"testing"
)

// common returns how many first bits two addresses of a version have in common.
func common(a, b netip.Addr) int {
	n := 0
	for n < a.BitLen() && netip.PrefixFrom(a, n+1).Masked() == netip.PrefixFrom(b, n+1).Masked() {
		n++
	}
	return n
}

// What stands for two addresses has as many bits in common as they had, so that the map is
// one to one and keeps networks. Kinds of addresses stay.
func TestAddressesKeepPrefixes(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(1, 2))
	var m addressMap
	_, _ = rand.Read(m.secret[:])
	var v4, v6 []netip.Addr
	for _, base := range []uint32{0x0a090000, 0xc0a80100, 0xc0a80180, 0xcb007100, 0x64400000, 0x08080808, 0xe0000100, 0xa9fe0000, 0x7f000000} {
		for range 6 {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], base|r.Uint32N(256))
			v4 = append(v4, netip.AddrFrom4(b))
		}
	}
	for _, base := range []string{"fd7a::", "fd7a:1::", "fe80::", "2001:db8::", "2a00:1450::", "ff05::", "::"} {
		b := netip.MustParseAddr(base).As16()
		for range 4 {
			b[15] = byte(r.Uint32())
			v6 = append(v6, netip.AddrFrom16(b))
		}
	}
	for _, all := range [][]netip.Addr{v4, v6} {
		for _, a := range all {
			for _, b := range all {
				if got, want := common(m.addr(a), m.addr(b)), common(a, b); got != want {
					t.Fatalf("%v and %v have %d bits in common, %v and %v %d", a, b, want, m.addr(a), m.addr(b), got)
				}
			}
			if x := m.addr(a); x.IsPrivate() != a.IsPrivate() || x.IsMulticast() != a.IsMulticast() || x.IsLinkLocalUnicast() != a.IsLinkLocalUnicast() || x.IsGlobalUnicast() != a.IsGlobalUnicast() || x.IsLoopback() != a.IsLoopback() {
				t.Errorf("%v is another kind than %v", x, a)
			}
		}
	}
	for _, text := range []string{"127.0.0.1", "127.8.9.10", "0.0.0.0", "::", "::1", "255.255.255.255", "224.0.0.251", "ff02::fb", "::ffff:127.0.0.1"} {
		if a := netip.MustParseAddr(text); m.addr(a) != a {
			t.Errorf("%v became %v", a, m.addr(a))
		}
	}
	for _, text := range []string{"10.9.0.0/24", "203.0.113.0/25", "fd7a::/64", "0.0.0.0/0", "::/0", "10.9.0.7/24"} {
		p := netip.MustParsePrefix(text)
		q := m.prefix(p)
		if q.Bits() != p.Bits() || p == p.Masked() && q != q.Masked() || !q.Contains(m.addr(p.Addr())) {
			t.Errorf("%v became %v", p, q)
		}
		for _, a := range append(v4, v6...) {
			if q.Contains(m.addr(a)) != p.Contains(a) {
				t.Errorf("%v in %v: %v, %v in %v is not", a, p, p.Contains(a), m.addr(a), q)
			}
		}
	}
	if a := netip.MustParseAddr("::ffff:10.9.0.1"); m.addr(a).Unmap() != m.addr(a.Unmap()) || !m.addr(a).Is4In6() {
		t.Errorf("%v became %v", a, m.addr(a))
	}
}

// Ranges are covered exactly.
func TestCovering(t *testing.T) {
	for _, tt := range [][2]string{{"10.0.0.1", "10.0.0.9"}, {"10.0.0.0", "10.0.0.255"}, {"0.0.0.0", "0.0.3.3"}, {"255.255.255.250", "255.255.255.255"}, {"fd7a::3", "fd7a::1:2"}, {"10.0.0.7", "10.0.0.7"}} {
		first, last := netip.MustParseAddr(tt[0]), netip.MustParseAddr(tt[1])
		next := first
		all := covering(first, last)
		for _, p := range all {
			if p.Addr() != next || p != p.Masked() {
				t.Errorf("%v: %v", tt, all)
			}
			next = lastOf(p).Next()
		}
		if len(all) == 0 || lastOf(all[len(all)-1]) != last {
			t.Errorf("%v: %v", tt, all)
		}
	}
	if all := covering(netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1")); all != nil {
		t.Errorf("%v", all)
	}
}
