package hostnet_test

import (
	"fmt"
	"strings"
	"testing"

	"tstun/tunnel/internal/hostnet"
)

// TestMTU has a host with three paths: eth0 of 1500 bytes, one of 1400, one of
// 9000, and routes with an MTU of their own.
func TestMTU(t *testing.T) {
	tests := []struct {
		name      string
		mtu       int
		endpoints string
		want      int
		kinds     []hostnet.WarningKind
	}{
		{"no endpoint: default route", 0, "", 1420, nil},
		{"one of 1400", 0, "203.0.113.2:1", 1320, nil},
		{"one of 9000", 0, "203.0.114.2:1", 8920, nil},
		{"the smallest counts, last", 0, "203.0.114.2:1 203.0.113.2:1", 1320, nil},
		{"the smallest counts, first", 0, "203.0.113.2:1 203.0.114.2:1", 1320, nil},
		{"a route's own", 0, "203.0.114.2:1 203.0.115.2:1", 1300, nil},
		{"IPv6", 0, "[2001:db8:1::2]:1", 1320, nil},
		{"IPv4 in IPv6", 0, "[::ffff:203.0.113.2]:1", 1320, nil},
		{"loopback", 0, "127.0.0.1:1", 65456, nil},
		{"without a path", 0, "240.0.0.1:1", 1420, nil},
		{"given", 1300, "203.0.114.2:1", 1300, nil},
		{"below IPv6's, given", 1279, "", 1279, []hostnet.WarningKind{hostnet.WarnMTU}},
		{"below IPv6's, computed", 0, "203.0.116.2:1", 1220, []hostnet.WarningKind{hostnet.WarnMTU}},
		{"and back", 0, "", 1420, nil},
	}
	s := newScene(t).withTUN()
	before := s.snapshot()
	s.ip("link add small type veth peer name small1")
	s.ip("link add large type veth peer name large1")
	for dev, mtu := range map[string]int{"small": 1400, "small1": 1400, "large": 9000, "large1": 9000} {
		s.ip(fmt.Sprintf("link set %s mtu %d up", dev, mtu))
	}
	s.ip("addr add 203.0.113.1/24 dev small")
	s.ip("-6 addr add 2001:db8:1::1/64 dev small nodad")
	s.ip("addr add 203.0.114.1/24 dev large")
	s.ip("route add 203.0.115.0/24 dev large mtu 1380")
	s.ip("route add 203.0.116.0/24 dev large mtu 1300")
	u := s.take(ifname)
	c := split()
	for _, tt := range tests {
		c.MTU, c.Endpoints = tt.mtu, endpoints(tt.endpoints)
		w := u.mustSet(c, tt.kinds...)
		s.has("link show dev "+ifname, fmt.Sprintf("mtu %d ", tt.want))
		for _, w := range w {
			if !strings.Contains(w.Text, fmt.Sprint(tt.want)) || !strings.Contains(w.Text, "1280") {
				t.Errorf("%s: %s", tt.name, w.Text)
			}
		}
		if tt.kinds == nil {
			s.has("-6 addr show dev "+ifname, "fd01::1/64")
			s.has("-6 route", "fd02::/48 dev "+ifname)
		}
	}
	u.close()
	s.ip("link del small")
	s.ip("link del large")
	s.sameAs(before, "after Close")
}

// TestPathMTU learns the MTU of a path as hosts do: from the router that cannot
// pass a packet on.
func TestPathMTU(t *testing.T) {
	s := newScene(t).withTUN()
	for _, args := range []string{
		"link add far type veth peer name far1", "link set far mtu 1400 up", "link set far1 mtu 1400 up",
		"addr add 203.0.113.1/24 dev far", "neigh add 203.0.113.7 lladdr 02:00:00:00:00:07 dev far",
	} {
		if _, err := s.peer.Exec(t.Context(), "ip", strings.Fields(args)...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.peer.Exec(t.Context(), "sysctl", "-q", "net.ipv4.ip_forward=1"); err != nil {
		t.Fatal(err)
	}
	s.host.Exec(t.Context(), "ping", "-c1", "-W1", "-M", "do", "-s", "1452", "203.0.113.7") // fails at once
	u := s.take(ifname)
	c := full()
	c.Endpoints = endpoints("203.0.113.7:51820")
	for range 2 { // behind the rules of the tunnel itself, too
		u.mustSet(c)
		s.has("link show dev "+ifname, "mtu 1320 ")
	}
}
