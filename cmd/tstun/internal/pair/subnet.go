package pair

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
)

// DefaultSubnet is the tunnel's IPv4 network, unless another is asked for.
var DefaultSubnet = netip.MustParsePrefix("10.77.0.0/24")

// randomSubnet returns an IPv6 network of its own: fd, 40 random bits, subnet 0
// (RFC 4193 §3.1, §3.2).
func randomSubnet() netip.Prefix {
	a := [16]byte{0xfd}
	rand.Read(a[1:6]) // never fails, by its documentation
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// chooseSubnets returns a network of each IP version, IPv4 first.
func chooseSubnets(asked []netip.Prefix) ([]netip.Prefix, error) {
	chosen := []netip.Prefix{DefaultSubnet, randomSubnet()}
	var errs []error
	var seen [2]bool
	for _, s := range asked {
		if err := checkSubnet(s); err != nil {
			errs = append(errs, err)
			continue
		}
		version := 0
		if s.Addr().Is6() {
			version = 1
		}
		if seen[version] {
			errs = append(errs, fmt.Errorf("subnet %v: want one of each IP version, and there is %v already", s, chosen[version]))
		}
		seen[version], chosen[version] = true, s
	}
	return chosen, errors.Join(errs...)
}

// checkSubnet returns an error if two hosts cannot live in a subnet.
func checkSubnet(s netip.Prefix) error {
	a := s.Addr()
	const two = 2 // bits of an address: the network's own, two hosts, and the broadcast
	switch {
	case !s.IsValid() || a.Is4In6():
		return fmt.Errorf("subnet %v: want a prefix, such as %v", s, DefaultSubnet)
	case s.Masked() != s:
		return fmt.Errorf("subnet %v has host bits: want %v", s, s.Masked())
	case s.Bits() > a.BitLen()-two:
		return fmt.Errorf("subnet %v is too small for two hosts: want /%d or shorter", s, a.BitLen()-two)
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240):
		return fmt.Errorf("subnet %v is not for hosts: want a private one, such as %v or %v", s, DefaultSubnet, randomSubnet())
	}
	return nil
}

// hostIn returns the first or second host of a subnet.
func hostIn(s netip.Prefix, i int) netip.Addr {
	a := s.Addr().Next()
	if i == 1 {
		a = a.Next()
	}
	return a
}
