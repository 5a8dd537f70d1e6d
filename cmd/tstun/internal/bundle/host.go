package bundle

import (
	"net"
	"runtime"
)

// maxRoutes bounds how many routes are told.
const maxRoutes = 500

// Host is what is known of the host's network, as the program sees it that makes the
// bundle: of the tunnel's network namespace, if it runs in that.
type Host struct {
	System     string      `json:"system"`
	Kernel     string      `json:"kernel,omitempty"`
	Interfaces []Interface `json:"interfaces"`
	// Routes are those of all tables but that of local addresses, at most 500, and
	// Rules say which table is asked. Both are told on Linux alone.
	Routes     []Route `json:"routes,omitempty"`
	MoreRoutes bool    `json:"moreRoutes,omitempty"` // there are others
	Rules      []Rule  `json:"rules,omitempty"`
}

// Interface is a network interface.
type Interface struct {
	Name      string   `json:"name"`
	Index     int      `json:"index"`
	MTU       int      `json:"mtu"` // bytes
	Flags     string   `json:"flags"`
	Addresses []string `json:"addresses,omitempty"` // each with the length of its prefix
}

// Route is a route. Destination is a prefix, or "default".
type Route struct {
	Table       int    `json:"table"`
	Destination string `json:"destination"`
	Via         string `json:"via,omitempty"`
	Source      string `json:"source,omitempty"`
	Interface   int    `json:"interface,omitempty"` // its index, or 0
	Metric      int    `json:"metric,omitempty"`
	MTU         int    `json:"mtu,omitempty"` // bytes
	Type        int    `json:"type"`          // as in linux/rtnetlink.h
	Protocol    int    `json:"protocol"`
}

// Rule is a rule of which table is asked for a packet. Text is as ip-rule(8) shows it.
type Rule struct {
	Priority int    `json:"priority"`
	Family   string `json:"family"` // inet or inet6
	Text     string `json:"text"`
}

// readHost asks the system.
func readHost() (*Host, error) {
	h := &Host{System: runtime.GOOS + "/" + runtime.GOARCH, Interfaces: []Interface{}}
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for i := range all {
		is := Interface{Name: all[i].Name, Index: all[i].Index, MTU: all[i].MTU, Flags: all[i].Flags.String()}
		addresses, err := all[i].Addrs()
		if err != nil { // it is gone by now
			continue
		}
		for _, a := range addresses {
			is.Addresses = append(is.Addresses, a.String())
		}
		h.Interfaces = append(h.Interfaces, is)
	}
	return h, h.readRoutes()
}
