package rig

import (
	"net/netip"

	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
)

// Local returns the addresses as prefixes, or those of the host if there are none.
func Local(addrs ...netip.Addr) []netip.Prefix {
	if len(addrs) == 0 {
		addrs = []netip.Addr{craft.Host4, craft.Host6}
	}
	var prefixes []netip.Prefix
	for _, a := range addrs {
		prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	return prefixes
}

// Everything returns a rule that lets all peers reach TCP, UDP and ICMP.
func Everything() filter.Match { return To(filter.AllPorts) }

// To returns a rule that lets all peers reach the ports by the protocols, or by
// TCP, UDP and ICMP if there are none.
func To(ports filter.PortRange, protos ...ipproto.Proto) filter.Match {
	any4, any6 := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
	return filter.Match{
		IPProto: protos,
		Srcs:    []netip.Prefix{any4, any6},
		Dsts:    []filter.NetPortRange{{Net: any4, Ports: ports}, {Net: any6, Ports: ports}},
	}
}

// Port returns a range of one port.
func Port(p uint16) filter.PortRange { return filter.PortRange{First: p, Last: p} }
