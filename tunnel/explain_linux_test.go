package tunnel_test

import (
	"strings"
	"testing"

	"tstun/internal/netns"
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
