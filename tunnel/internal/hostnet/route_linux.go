package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// route is a route into the tunnel.
type route struct {
	table int
	dst   netip.Prefix
}

func (r route) String() string { return fmt.Sprintf("%s in %s", r.dst, tableName(r.table)) }

func tableName(table int) string {
	if table == tableMain {
		return "table main"
	}
	return fmt.Sprintf("table %d", table)
}

// routes returns the routes that shall be, the longest prefixes first.
func (s *setting) routes() (routes []route) {
	plain := tableMain
	if s.config.Table != TableAuto {
		plain = int(s.config.Table)
	}
	for _, p := range s.layout.plain {
		routes = append(routes, route{plain, p})
	}
	for _, p := range s.layout.marked {
		routes = append(routes, route{int(s.markUsed), p})
	}
	slices.SortStableFunc(routes, func(a, b route) int { return b.dst.Bits() - a.dst.Bits() })
	return routes
}

// addRoutes adds the routes that are missing.
func (s *setting) addRoutes() error {
	have, err := s.ownRoutes(s.index)
	if err != nil {
		return err
	}
	for _, r := range s.routes() {
		if slices.Contains(have, r) {
			continue
		}
		if err := s.do(func() error { return s.addRoute(r) }, "add route %s", r); err != nil {
			return err
		}
	}
	return nil
}

func (s *setting) addRoute(r route) error {
	err := s.nl.RouteAdd(r.message(s.index))
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("somebody else's is there: remove it (ip route show %s table %d), or choose another Table or FwMark: %w", r.dst, r.table, err)
	}
	return err
}

func (r route) message(index int) *netlink.Route {
	m := &netlink.Route{
		LinkIndex: index, Family: familyOf(r.dst.Addr().Is6()), Table: r.table, Dst: ipNet(r.dst), Protocol: protocol,
	}
	if r.dst.Addr().Is4() {
		m.Scope = netlink.SCOPE_LINK
	}
	return m
}

func (s *setting) removeStaleRoutes() error { return s.removeRoutes(s.index, s.routes()) }

// removeRoutes removes the interface's routes that are ours, in all tables,
// but for those to keep.
func (h *host) removeRoutes(index int, keep []route) error {
	if index == 0 {
		return nil // the kernel took them with the interface
	}
	have, err := h.ownRoutes(index)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range have {
		if slices.Contains(keep, r) {
			continue
		}
		err := h.do(func() error { return h.nl.RouteDel(r.message(index)) }, "remove route %s", r)
		if !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ownRoutes returns the routes of our protocol through the interface.
func (h *host) ownRoutes(index int) (own []route, err error) {
	want := &netlink.Route{Protocol: protocol, LinkIndex: index, Table: unix.RT_TABLE_UNSPEC} // UNSPEC is all tables
	const by = netlink.RT_FILTER_PROTOCOL | netlink.RT_FILTER_OIF | netlink.RT_FILTER_TABLE
	for _, family := range families {
		list, err := dump(func() ([]netlink.Route, error) { return h.nl.RouteListFiltered(family, want, by) })
		if err != nil {
			return nil, fmt.Errorf("list %s routes: %w", familyName(family), err)
		}
		for _, r := range list {
			own = append(own, route{r.Table, destination(r, family)})
		}
	}
	return own, nil
}

func destination(r netlink.Route, family int) netip.Prefix {
	if r.Dst != nil {
		return prefixOf(r.Dst)
	}
	if family == unix.AF_INET6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// tablesInUse returns the tables that have a route.
func (h *host) tablesInUse() (map[int]bool, error) {
	used := make(map[int]bool)
	for _, family := range families {
		_, err := dump(func() ([]struct{}, error) {
			all := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
			return nil, h.nl.RouteListFilteredIter(family, all, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
				used[r.Table] = true
				return true
			})
		})
		if err != nil {
			return nil, fmt.Errorf("list %s routes: %w", familyName(family), err)
		}
	}
	return used, nil
}
