package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

const wantAddress = `want an address such as 100.64.0.1, a prefix such as 10.0.0.0/8, a range such as 10.0.0.1-10.0.0.9, or "*"`

// parseAddresses returns the addresses that a text without names stands for.
func parseAddresses(text string) ([]netip.Prefix, error) {
	if text == "*" {
		return everywhere(), nil
	}
	if strings.Contains(text, "/") {
		p, err := parsePrefix(text)
		return []netip.Prefix{p}, err
	}
	if first, last, ok := strings.Cut(text, "-"); ok {
		return parseRange(first, last)
	}
	a, err := parseAddress(text)
	if err != nil {
		return nil, err
	}
	return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}, nil
}

func everywhere() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.IPv4Unspecified(), 0),
		netip.PrefixFrom(netip.IPv6Unspecified(), 0),
	}
}

func parseAddress(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return a, errors.New(wantAddress)
	case a.Is4In6():
		return a, fmt.Errorf("maps an IPv4 address: want %v", a.Unmap())
	case a.Zone() != "":
		return a, fmt.Errorf("has a zone: want %v", a.WithZone(""))
	}
	return a, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, errors.New(wantAddress)
	case p.Addr().Is4In6():
		return p, errors.New("maps IPv4 addresses: want the IPv4 prefix")
	case p != p.Masked():
		return p, fmt.Errorf("has bits behind its length: want %v or %v", p.Masked(), p.Addr())
	}
	return p, nil
}

func parseRange(from, to string) ([]netip.Prefix, error) {
	first, err := parseAddress(from)
	if err != nil {
		return nil, err
	}
	last, err := parseAddress(to)
	switch {
	case err != nil:
		return nil, err
	case first.Is4() != last.Is4():
		return nil, errors.New("a range from one IP version to the other: want both ends of one version")
	case last.Less(first):
		return nil, fmt.Errorf("an empty range: want %v-%v", last, first)
	}
	return prefixes(first, last), nil
}

// prefixes returns the fewest prefixes that hold the addresses from first to
// last, in order.
func prefixes(first, last netip.Addr) []netip.Prefix {
	var all []netip.Prefix
	for {
		p := netip.PrefixFrom(first, first.BitLen())
		for p.Bits() > 0 {
			wider := netip.PrefixFrom(first, p.Bits()-1)
			if wider.Masked().Addr() != first || last.Less(lastOf(wider)) {
				break
			}
			p = wider
		}
		all = append(all, p)
		end := lastOf(p)
		if end == last {
			return all
		}
		first = end.Next()
	}
}

// lastOf returns the last address of p, which is masked.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < 8*len(b); bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
