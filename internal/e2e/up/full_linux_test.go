package up_test

import (
	"strings"
	"testing"
)

// beyond gives the host addresses that nobody else has a way to.
func (h *host) beyond() {
	h.ip("addr add 203.0.113.9/32 dev lo", "addr add 2001:db8:9::9/128 dev lo")
}

// TestFullTunnel sends everything through the tunnel but the tunnel's own
// packets, which take the default route.
func TestFullTunnel(t *testing.T) {
	t.Parallel()
	for name, allowed := range map[string]string{
		"default":         "0.0.0.0/0, ::/0",
		"halves":          "0.0.0.0/1, 128.0.0.0/1, ::/1, 8000::/1",
		"IPv6 underneath": "0.0.0.0/0, ::/0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, router, b := routed(t)
			b.beyond()
			endpoint := "198.51.100.2:51820"
			if name == "IPv6 underneath" {
				endpoint = "[2001:db8:2::2]:51820"
			}
			ca, cb := configs(endpoint)
			ca.peers[0].allowed = allowed
			cb.lines += "\nFwMark = 0x7" // which changes nothing here
			a.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
			a.unchanged(func() {
				b.up(cb)
				n := a.up(ca)
				a.ping("203.0.113.9")
				a.ping("2001:db8:9::9")
				a.has("route get 203.0.113.9", "dev wg0")
				a.has("-6 route get 2001:db8:9::9", "dev wg0")
				if strings.Contains(n.log.String(), "level=WARN") {
					t.Errorf("it warns:\n%s", n.log)
				}
				a.wantNoStrays(router)
				n.stop()
			})
		})
	}
}

// wantNoStrays wants nobody but peers to reach the tunnel's addresses, and
// shows that the guard is what keeps them out.
func (a *host) wantNoStrays(router *host) {
	a.t.Helper()
	router.ip("route add 10.9.0.1/32 via 192.0.2.1", "-6 route add fd09::1/128 via 2001:db8:1::1")
	stray := func(to, from string) (answered bool) {
		_, err := router.try("ping", "-n", "-c", "1", "-W", "0.3", "-I", from, to)
		return err == nil
	}
	if stray("10.9.0.1", "192.0.2.254") || stray("fd09::1", "2001:db8:1::ff") {
		a.t.Error("a stray was answered")
	}
	a.run("nft", "delete", "table", "inet", "tstun-wg0")
	if !stray("10.9.0.1", "192.0.2.254") || !stray("fd09::1", "2001:db8:1::ff") {
		a.t.Error("a stray is not answered without the guard either: the test shows nothing")
	}
}

// TestLeak wants to hear of IPv6 that a full tunnel leaves outside.
func TestLeak(t *testing.T) {
	t.Parallel()
	a, _, b := routed(t)
	b.beyond()
	ca, cb := configs("198.51.100.2:51820")
	ca.peers[0].allowed = "0.0.0.0/0"
	a.unchanged(func() {
		b.up(cb)
		n := a.up(ca)
		a.ping("203.0.113.9")
		a.has("-6 route get 2001:db8:9::9", "dev eth0")
		n.await(0, `level=WARN msg="IPv6 goes around the tunnel`)
		n.stop()
	})
}
