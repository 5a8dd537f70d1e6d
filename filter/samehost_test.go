package filter_test

import (
	"net/netip"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
)

// Explain says of every pair of addresses what becomes of a packet that begins a
// flow, also of one that claims to come from its own destination. So does Check,
// but of that.
func TestExplainIsWhatBecomes(t *testing.T) {
	addrs := []netip.Addr{addr(host4), addr(host6), addr(peer4), addr(peer6), addr("::ffff:" + host4), addr("127.0.0.1"), addr("::1"),
		addr("224.0.0.1"), addr("ff02::1"), addr("169.254.1.1"), addr("fe80::1"), addr("0.0.0.0"), addr("192.0.2.9")}
	for _, permit := range []filter.Permit{{}, {Multicast: true, LinkLocal: true, Mapped: true, Martian: true}} {
		for _, src := range addrs {
			for _, dst := range addrs {
				if src.Is4() != dst.Is4() {
					continue
				}
				f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80))}, Permit: permit})
				e := pair{netip.AddrPortFrom(dst, 80), netip.AddrPortFrom(src, 5000)}
				got := f.Explain(e.peer, e.host, ipproto.UDP)
				if check := f.Check(src, dst, 80, ipproto.UDP); src != dst && check != got.Response {
					t.Errorf("%v > %v: Check says %v, Explain %v", src, dst, check, got.Response)
				}
				if want := judge(f, 0, e.udpIn(), 0); got.Reason != want.Reason || got.Response != want.Response {
					t.Errorf("%v > %v: Explain says %v, %v; the packet gets %v, %v", src, dst, got.Response, got.Reason, want.Response, want.Reason)
				}
			}
		}
	}
}
