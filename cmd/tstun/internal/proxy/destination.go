package proxy

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrDestination is the cause of a refusal to dial. SOCKS5, HTTP and Connect
// refuse what does not leave the host: loopback and unspecified addresses,
// also as IPv4 inside of IPv6, and those that are no single host's.
var ErrDestination = errors.New("destination is not allowed")

// IPv6 addresses that carry an IPv4 one in their last four bytes, besides
// IPv4-mapped ones.
var embedding = []netip.Prefix{
	netip.MustParsePrefix("::/96"),           // IPv4-compatible, RFC 4291 §2.5.5.1
	netip.MustParsePrefix("::ffff:0:0:0/96"), // IPv4-translated, RFC 2765 §2.1
	netip.MustParsePrefix("64:ff9b::/96"),    // NAT64, RFC 6052 §2.1
}

// thisNetwork is the host itself as a source: Linux and others take 0.0.0.0
// for 127.0.0.1 as a destination. RFC 1122 §3.2.1.3 (a).
var thisNetwork = netip.MustParsePrefix("0.0.0.0/8")

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255}) // RFC 919 §7

// checkDestination returns an ErrDestination unless a is another host's.
func checkDestination(a netip.Addr) error {
	ip := embedded(a.Unmap().WithZone(""))
	switch {
	case a.Unmap().IsLoopback() || ip.IsLoopback():
		return fmt.Errorf("%w: %s is the host's loopback", ErrDestination, a)
	case a.IsUnspecified() || thisNetwork.Contains(ip):
		return fmt.Errorf("%w: %s is the host itself", ErrDestination, a)
	case ip.IsMulticast() || ip == broadcast:
		return fmt.Errorf("%w: %s is no single host", ErrDestination, a)
	}
	return nil
}

// embedded returns the IPv4 address that a carries, or a.
func embedded(a netip.Addr) netip.Addr {
	for _, p := range embedding {
		if p.Contains(a) {
			b := a.As16()
			return netip.AddrFrom4([4]byte(b[12:]))
		}
	}
	return a
}
