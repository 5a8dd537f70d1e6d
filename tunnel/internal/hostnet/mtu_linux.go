package hostnet

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// defaultMTU is that of the path if nobody knows one: Ethernet's.
const defaultMTU = 1500

func (s *setting) setMTU() error {
	link, err := s.nl.LinkByIndex(s.index)
	if err != nil {
		return err
	}
	mtu := s.config.MTU
	if mtu == 0 {
		mtu = min(s.pathMTU()-Overhead, maxMTU)
	}
	if link.Attrs().MTU == mtu {
		return nil
	}
	return s.do(func() error { return s.nl.LinkSetMTU(link, mtu) }, "set MTU %d", mtu)
}

// pathMTU returns the smallest MTU of the paths to the endpoints. Without one
// it is the default routes', as what is to come will take them.
func (s *setting) pathMTU() int {
	smallest := 0
	note := func(mtu int) {
		if mtu > minMTU+Overhead && (smallest == 0 || mtu < smallest) {
			smallest = mtu
		}
	}
	for _, e := range s.config.Endpoints {
		note(s.mtuTo(e.Addr()))
	}
	if smallest == 0 {
		for _, r := range s.defaultRoutes() {
			note(s.mtuOf(r))
		}
	}
	if smallest == 0 {
		return defaultMTU
	}
	return smallest
}

// routeTo returns the route that the tunnel's own packets take to an address.
func (s *setting) routeTo(a netip.Addr) (netlink.Route, error) {
	mark := s.config.FwMark
	if mark == 0 {
		mark = s.state.Mark
	}
	options := &netlink.RouteGetOptions{Mark: mark, Oif: a.Zone()}
	routes, err := s.nl.RouteGetWithOptions(a.Unmap().AsSlice(), options)
	if err == nil && len(routes) == 0 {
		err = errors.New("no route")
	}
	if err != nil {
		return netlink.Route{}, err
	}
	return routes[0], nil
}

// mtuTo returns the MTU of the path to an address, or 0 if there is no path
// outside of the tunnel.
func (s *setting) mtuTo(a netip.Addr) int {
	route, err := s.routeTo(a)
	if err != nil || route.LinkIndex == s.index {
		return 0
	}
	return s.mtuOf(route)
}

// mtuOf returns the MTU of a route: what was learnt of the path or set for it,
// else that of the interface, or 0 if that is gone.
func (s *setting) mtuOf(r netlink.Route) int {
	if r.MTU != 0 {
		return r.MTU
	}
	link, err := s.nl.LinkByIndex(r.LinkIndex)
	if err != nil {
		return 0
	}
	return link.Attrs().MTU
}

// defaultRoutes returns the table main's default routes outside of the tunnel.
func (s *setting) defaultRoutes() (routes []netlink.Route) {
	for _, family := range families {
		list, err := dump(func() ([]netlink.Route, error) { return s.nl.RouteList(nil, family) })
		if err != nil {
			continue
		}
		for _, r := range list {
			if (r.Dst == nil || prefixOf(r.Dst).Bits() == 0) && r.LinkIndex != s.index {
				routes = append(routes, r)
			}
		}
	}
	return routes
}
