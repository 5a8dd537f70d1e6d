package hostnet

import (
	"net/netip"
	"slices"
)

// layout is where the routes of a Config go.
type layout struct {
	plain  []netip.Prefix // to the table that Config names, which may be main
	marked []netip.Prefix // to a table of their own, which all but marked packets ask
}

func (c *Config) layout() (l layout) {
	if c.Table == TableOff {
		return l
	}
	for _, r := range c.Routes {
		switch {
		case slices.Contains(l.plain, r) || slices.Contains(l.marked, r): // two peers have it
		case c.Table == TableAuto && c.isWhole(r):
			l.marked = append(l.marked, r)
		case !c.intoMain() || !c.isConnected(r):
			l.plain = append(l.plain, r)
		}
	}
	return l
}

func (c *Config) intoMain() bool { return c.Table == TableAuto || c.Table == tableMain }

// isWhole reports whether r is a default route, or one of its halves with the
// other half there.
func (c *Config) isWhole(r netip.Prefix) bool {
	return r.Bits() == 0 || r.Bits() == 1 && slices.Contains(c.Routes, otherHalf(r))
}

// otherHalf returns the other half of a family's addresses.
func otherHalf(half netip.Prefix) netip.Prefix {
	b := half.Addr().AsSlice()
	b[0] ^= 0x80
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(a, 1)
}

// isConnected reports whether an address brings the route with it: the kernel
// routes an address's network, but of IPv4 no /32.
func (c *Config) isConnected(r netip.Prefix) bool {
	return slices.ContainsFunc(c.Addresses, func(a netip.Prefix) bool {
		network := a.Masked()
		return network.Bits() <= r.Bits() && network.Contains(r.Addr()) && (a.Addr().Is6() || a.Bits() < 32)
	})
}

// isFull reports whether all of a family goes into the tunnel.
func (l *layout) isFull(is6 bool) bool {
	return slices.ContainsFunc(l.marked, func(p netip.Prefix) bool { return p.Addr().Is6() == is6 })
}

// without6 returns c without what needs IPv6 on the interface.
func (c *Config) without6() *Config {
	is6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
	d := *c
	d.Addresses = slices.DeleteFunc(slices.Clone(c.Addresses), is6)
	d.Routes = slices.DeleteFunc(slices.Clone(c.Routes), is6)
	return &d
}

// has6 reports whether c needs IPv6 on the interface.
func (c *Config) has6() bool {
	d := c.without6()
	return len(d.Addresses) < len(c.Addresses) || len(d.Routes) < len(c.Routes) && c.Table != TableOff
}
