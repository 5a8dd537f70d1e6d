package filter

import (
	"net/netip"

	"tstun/packet"
)

// formReason returns why p is dropped for its form alone, or ReasonNone.
func formReason(p *packet.Parsed) Reason {
	switch p.Problem() {
	case packet.ProblemNone:
		if p.IPVersion == 0 {
			return ReasonMalformed // never decoded
		}
		return ReasonNone
	case packet.ProblemTruncated:
		return ReasonTruncated
	case packet.ProblemExtensionHeaders:
		return ReasonExtensionHeaders
	case packet.ProblemTinyFragment:
		return ReasonFragmentTiny
	case packet.ProblemOptions:
		return ReasonIPOptions
	}
	return ReasonMalformed
}

// addressReason returns why a packet from src to dst is dropped for these
// addresses alone, or ReasonNone.
func (p Permit) addressReason(src, dst netip.Addr) Reason {
	if dst.Is4In6() || src.Is4In6() {
		if !p.Mapped {
			return ReasonMappedAddr
		}
		src, dst = src.Unmap(), dst.Unmap()
	}
	if dst.IsMulticast() {
		if !p.Multicast {
			return ReasonMulticast
		}
	} else if r := p.unicastReason(dst); r != ReasonNone {
		return r
	}
	if src.IsMulticast() && !p.Martian {
		return ReasonMartian
	}
	return p.unicastReason(src)
}

func (p Permit) unicastReason(a netip.Addr) Reason {
	switch {
	case a.IsLinkLocalUnicast():
		if !p.LinkLocal {
			return ReasonLinkLocal
		}
	case isMartian(a):
		if !p.Martian {
			return ReasonMartian
		}
	}
	return ReasonNone
}

// isMartian reports whether a cannot be the address of a host on any network. Such
// are "this network" and loopback (RFC 1122 §3.2.1.3), class E with the broadcast
// address (RFC 1112 §4), and IPv6's unspecified and loopback addresses (RFC 4291
// §2.5).
func isMartian(a netip.Addr) bool {
	if a.Is4() {
		first := a.As4()[0]
		return first == 0 || first == 127 || first >= 240
	}
	return a.IsUnspecified() || a.IsLoopback()
}
