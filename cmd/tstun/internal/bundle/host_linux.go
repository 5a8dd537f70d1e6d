package bundle

import (
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// readRoutes reads routes, rules and the kernel's version.
func (h *Host) readRoutes() error {
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		h.Kernel = strings.TrimSpace(string(release))
	}
	for family, name := range map[int]string{netlink.FAMILY_V4: "inet", netlink.FAMILY_V6: "inet6"} {
		anyTable := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		err := netlink.RouteListFilteredIter(family, anyTable, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			if r.Table == unix.RT_TABLE_LOCAL {
				return true
			}
			if h.MoreRoutes = len(h.Routes) == maxRoutes; h.MoreRoutes {
				return false
			}
			h.Routes = append(h.Routes, routeOf(&r))
			return true
		})
		if err != nil {
			return fmt.Errorf("%s routes: %w", name, err)
		}
		rules, err := netlink.RuleList(family)
		if err != nil {
			return fmt.Errorf("%s rules: %w", name, err)
		}
		for _, r := range rules {
			h.Rules = append(h.Rules, Rule{Priority: r.Priority, Family: name, Text: ruleText(&r)})
		}
	}
	return nil
}

func routeOf(r *netlink.Route) Route {
	is := Route{Table: r.Table, Destination: "default", Interface: r.LinkIndex, Metric: r.Priority, MTU: r.MTU, Type: r.Type, Protocol: int(r.Protocol)}
	if r.Dst != nil {
		is.Destination = r.Dst.String()
	}
	if r.Gw != nil {
		is.Via = r.Gw.String()
	} else if r.Via != nil {
		is.Via = r.Via.String()
	}
	if r.Src != nil {
		is.Source = r.Src.String()
	}
	return is
}

// ruleText returns a rule in the words of ip-rule(8).
func ruleText(r *netlink.Rule) string {
	var words []string
	say := func(is bool, format string, args ...any) {
		if is {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	say(r.Invert, "not")
	say(r.Src != nil, "from %v", r.Src)
	say(r.Src == nil, "from all")
	say(r.Dst != nil, "to %v", r.Dst)
	say(r.Mark != 0, "fwmark %#x", r.Mark)
	say(r.IifName != "", "iif %s", r.IifName)
	say(r.OifName != "", "oif %s", r.OifName)
	say(r.Table > 0, "lookup %d", r.Table)
	say(r.SuppressPrefixlen >= 0, "suppress_prefixlength %d", r.SuppressPrefixlen)
	return strings.Join(words, " ")
}
