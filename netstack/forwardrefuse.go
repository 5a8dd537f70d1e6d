package netstack

import (
	"errors"
	"net/netip"
	"syscall"

	"tstun/packet"
)

// unreachable is a kind of ICMP error: its codes of IPv4 (RFC 792, RFC 1812
// §5.2.7.1) and IPv6 (RFC 4443 §3.1).
type unreachable struct{ code4, code6 uint8 }

var (
	noNetwork  = &unreachable{0, 0}
	noHost     = &unreachable{1, 3}
	noPort     = &unreachable{3, 4}
	prohibited = &unreachable{13, 1}
)

const (
	unreachable4 = 3 // RFC 792
	unreachable6 = 1 // RFC 4443 §3.1

	// What an ICMP error may quote: RFC 1812 §4.3.2.3, RFC 4443 §2.4(c).
	maxError4 = 576
	maxError6 = 1280
)

// unreachableFor returns the ICMP error that tells of err, or nil if none does.
func unreachableFor(err error) *unreachable {
	switch {
	case errors.Is(err, syscall.ENETUNREACH):
		return noNetwork
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return noHost
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return prohibited
	}
	return nil
}

// refuse answers the packet that begins with head with the ICMP error, and
// reports whether it could. The error comes from an address of the stack's
// own, as a router's does, or from the destination if there is none.
func (f *forwarder) refuse(from, to netip.Addr, head []byte, u *unreachable) bool {
	if u == nil || f.s.closing.Load() {
		return false
	}
	h := packet.ICMPHeader{Src: f.router(to), Dst: from, Type: unreachable4, Code: u.code4}
	if u == noPort {
		h.Src = to // RFC 1122 §3.2.2.1: the host itself says so
	}
	limit := maxError4
	if to.Is6() {
		h.Type, h.Code, limit = unreachable6, u.code6, maxError6
	}
	pkt := packet.Generate(h, head[:min(len(head), limit-h.Len())])
	return pkt != nil && f.link.send(pkt)
}

// router returns the first of the stack's addresses of to's IP version, or to.
func (f *forwarder) router(to netip.Addr) netip.Addr {
	for _, a := range *f.s.addrs.Load() {
		if a.Is4() == to.Is4() {
			return a
		}
	}
	return to
}
