package filter_test

import (
	"net/netip"
	"slices"

	"tstun/filter"
	"tstun/ipproto"
)

// naiveMatch is the rules as their documentation reads.
func naiveMatch(ms []filter.Match, proto ipproto.Proto, src, dst netip.Addr, port uint16) bool {
	for _, m := range ms {
		protos := m.IPProto
		if len(protos) == 0 {
			protos = []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4, ipproto.ICMPv6}
		}
		for _, s := range m.Srcs {
			for _, d := range m.Dsts {
				ports := d.Ports.First <= port && port <= d.Ports.Last || !proto.HasPorts()
				if slices.Contains(protos, proto) && s.Contains(src) && d.Net.Contains(dst) && ports {
					return true
				}
			}
		}
	}
	return false
}
