package tunnel_test

import (
	"net/netip"
	"strings"
	"testing"

	"tstun/internal/netns"
	"tstun/key"
	"tstun/tunnel"
)

// explainIn asks in a namespace.
func explainIn(t *testing.T, ns *netns.NS, tun *tunnel.Tunnel, src, dst string) (e tunnel.Explanation) {
	t.Helper()
	_ = ns.Do(func() error { e = explain(briefly(t), t, tun, src, dst, ""); return nil })
	return e
}

// A route that is missing, or another program's, is named, whichever side begins.
func TestExplainRoute(t *testing.T) {
	ns, c := hosts(t), kernels(t)
	c[0].Peers[0].AllowedIPs = prefixes("10.9.0.2/32", "10.50.0.0/16")
	var tuns [2]*tunnel.Tunnel
	for _, i := range []int{1, 0} {
		var err error
		if tuns[i], err = startIn(within(t), ns[i], c[i]); err != nil {
			t.Fatal(err)
		}
		defer ns[i].Do(tuns[i].Close)
	}
	ask := func(src, dst, want string) *tunnel.Check {
		t.Helper()
		e := explainIn(t, ns[0], tuns[0], src, dst)
		if got := first(t, e); got != want {
			t.Errorf("%s to %s: %q, want %q: %+v", src, dst, got, want, e)
			return &tunnel.Check{}
		}
		return e.Wrong()
	}
	ask("10.9.0.1", "10.50.0.7:80", "")
	ask("10.50.0.7", "10.9.0.1:80", "program nobody-listens")
	run(t, ns[0], "ip", "route", "add", "10.50.0.7/32", "via", "192.0.2.2")
	if c := ask("10.9.0.1", "10.50.0.7:80", "route other-route"); !strings.Contains(c.Text, "by eth0") {
		t.Errorf("%+v", c)
	}
	ask("10.50.0.7", "10.9.0.1:80", "route other-route") // the answers
	ask("10.9.0.1", "192.0.2.2:80", "route other-route")
	run(t, ns[0], "ip", "route", "del", "10.50.0.7/32")
	run(t, ns[0], "ip", "route", "del", "10.50.0.0/16")
	if c := ask("10.9.0.1", "10.50.0.7:80", "route no-route"); !strings.Contains(c.Advice, "ip route add 10.50.0.7 dev tstun0") {
		t.Errorf("%+v", c)
	}
	ask("10.9.0.1", "10.9.0.1:80", "rules martian")
}

// An MTU that does not fit the way is told with the one that does, also where only a
// router knows.
func TestExplainMTU(t *testing.T) {
	ns := [3]*netns.NS{netns.New(t), netns.New(t), netns.New(t)}
	for i, link := range [2][2]string{{"eth0", "eth0"}, {"eth1", "eth0"}} {
		if err := ns[i].Connect(link[0], ns[i+1], link[1]); err != nil {
			t.Fatal(err)
		}
	}
	addr := func(n *netns.NS, dev, a string) {
		if err := n.AddAddr(dev, netip.MustParsePrefix(a)); err != nil {
			t.Fatal(err)
		}
	}
	addr(ns[0], "eth0", "192.0.2.1/24")
	addr(ns[1], "eth0", "192.0.2.254/24")
	addr(ns[1], "eth1", "198.51.100.254/24")
	addr(ns[2], "eth0", "198.51.100.2/24")
	run(t, ns[0], "ip", "route", "add", "default", "via", "192.0.2.254")
	run(t, ns[2], "ip", "route", "add", "default", "via", "198.51.100.254")
	run(t, ns[1], "sysctl", "-qw", "net.ipv4.ip_forward=1")
	run(t, ns[1], "ip", "link", "set", "eth1", "mtu", "1300")
	c := kernels(t)
	c[0].Peers[0].AllowedIPs, c[0].Peers[0].Endpoint = prefixes("10.9.0.2/32"), "198.51.100.2:51820"
	c[1].Peers[0].Endpoint = "192.0.2.1:51820"
	var tun *tunnel.Tunnel
	for _, i := range []int{1, 0} {
		at := ns[2*i]
		var err error
		if tun, err = startIn(within(t), at, c[i]); err != nil {
			t.Fatal(err)
		}
		defer at.Do(tun.Close)
	}
	e := explainIn(t, ns[0], tun, "10.9.0.1", "10.9.0.2:80")
	if got := first(t, e); got != "mtu mtu" || !strings.Contains(e.Wrong().Text, "1420 is too large: 1240 fits") || !strings.Contains(e.Wrong().Advice, "MTU = 1240") {
		t.Errorf("%q: %+v", got, e)
	}
	next := c[0]
	next.MTU = 1240
	if err := ns[0].Do(func() error { return tun.Reload(within(t), next) }); err != nil {
		t.Fatal(err)
	}
	if e := explainIn(t, ns[0], tun, "10.9.0.1", "10.9.0.2:80"); first(t, e) != "" {
		t.Errorf("with what fits: %+v", e)
	}
}

// A full tunnel whose host asks for names on its own network says so.
func TestExplainDNSOutside(t *testing.T) {
	ns := hosts(t)
	a, b := key.NewPrivate(), key.NewPrivate()
	far(t, ns[1], b, a.Public())
	runInside(t, ns[0], "TestInsideDNSOutside", "nameserver 192.0.2.2\n", a, b.Public())
}

func TestInsideDNSOutside(t *testing.T) {
	own, peer := inside(t)
	var l logged
	c := near(t, own, peer, &l)
	c.Peers[0].AllowedIPs = prefixes("0.0.0.0/0")
	e := explain(within(t), t, start(t, c), "10.9.0.1", "10.9.0.2:80", "")
	if got := first(t, e); got != "dns dns-outside" || !strings.Contains(e.Wrong().Text, "192.0.2.2") {
		t.Errorf("%q: %+v\n%s", got, e, &l)
	}
}
