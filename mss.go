package tstun

import "tstun/internal/pipeline"

// MSSClamp bounds the maximum segment size that TCP connections agree on (RFC 9293
// §3.7.1), for each version of IP, in bytes without IP and TCP headers. 0 is no
// bound. Segments of that size, and so their packets, then fit where nobody says
// that packets are too long, as behind a firewall that drops ICMP.
type MSSClamp struct {
	IPv4, IPv6 uint16
}

// Lengths of headers that an MSS leaves out, options apart: RFC 9293 §3.7.1 with
// RFC 791 §3.1 and RFC 8200 §3.
const (
	headers4 = 20 + 20
	headers6 = 40 + 20
)

// ClampToMTU returns the clamp with which segments fit into packets of mtu bytes:
// 40 bytes less over IPv4 and 60 over IPv6, but at least 1.
func ClampToMTU(mtu int) MSSClamp {
	less := func(headers int) uint16 { return uint16(min(max(mtu-headers, 1), 65535)) }
	return MSSClamp{IPv4: less(headers4), IPv6: less(headers6)}
}

// SetMSSClamp bounds the segments of all TCP connections through the tunnel, from
// the next batch on; those that are open stay as they are. Peer.MSSClamp bounds
// those with one peer; of two bounds the lower holds. The zero MSSClamp, as in a
// new Wrapper, changes no packet.
//
// It lowers the MSS in SYN and SYN-ACK, both ways, so that neither side sends
// more, and never raises it. Inbound hooks see it lowered. Packets of InjectOutbound are
// clamped as the host's are, those of InjectInbound*, which no tunnel carried,
// are not. As with nftables' "tcp option maxseg size set", and unlike with iptables'
// TCPMSS, a segment without an MSS gets none: it stands for 536 bytes, or 1220 over
// IPv6. Fragments are left alone.
func (w *Wrapper) SetMSSClamp(m MSSClamp) {
	w.update(func(c *config) { c.MSS = pipeline.MSS(m) })
}
