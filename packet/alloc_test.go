package packet_test

import (
	"net/netip"
	"testing"

	"tstun/packet"
)

// TestNoAllocation holds for every packet of the tables, good or bad.
func TestNoAllocation(t *testing.T) {
	var all []decodeCase
	for _, cases := range [][]decodeCase{ip4Cases(), option4Cases(), transportCases(), fragment4Cases(), ip6Cases(), extensionCases(), fragment6Cases()} {
		all = append(all, cases...)
	}
	router4, router6 := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8:9::9")
	all = append(all,
		decodeCase{name: "error", in: icmpError(router4, 3, tcp4(100))},
		decodeCase{name: "IPv6 error", in: icmpError(router6, 2, udp6(100))})
	p, q := new(packet.Parsed), new(packet.Parsed)
	sink := 0
	for _, tt := range all {
		n := testing.AllocsPerRun(20, func() {
			p.Decode(tt.in)
			sink += len(p.Payload()) + len(p.Transport()) + int(p.EchoID())
			p.Fragment()
			p.DiscoKey()
			p.AsTSMPRejected()
			p.Quoted(q)
			p.SetSrcAddr(router4)
			p.SetSrcAddr(router6)
			p.SetDstAddr(dst4.Addr())
			p.SetDstAddr(dst6.Addr())
			sink += int(packet.Checksum(tt.in, 1))
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}
