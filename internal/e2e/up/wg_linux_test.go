package up_test

import (
	"strings"
	"testing"

	"tstun/key"
)

// TestWg shows and changes a tunnel that runs by wg(8).
func TestWg(t *testing.T) {
	t.Parallel()
	a, b := neighbours(t)
	ca, cb := configs("192.0.2.2:51820")
	b.up(cb)
	n := a.up(ca)
	a.ping("10.9.0.2")
	peer := cb.key.Public().String()
	shown := a.run("wg", "show", "wg0")
	for _, part := range []string{"interface: wg0", "public key: " + ca.key.Public().String(), "peer: " + peer, "endpoint: 192.0.2.2:51820", "allowed ips: 10.9.0.2/32, fd09::2/128", "latest handshake: "} {
		if !strings.Contains(shown, part) {
			t.Errorf("wg show has no %q:\n%s", part, shown)
		}
	}
	other := key.NewPrivate().Public().String()
	a.run("wg", "set", "wg0", "peer", other, "allowed-ips", "10.77.0.0/24", "endpoint", "192.0.2.3:1", "persistent-keepalive", "25")
	a.run("wg", "set", "wg0", "peer", peer, "endpoint", "[2001:db8::2]:51820")
	if out := a.run("wg", "show", "wg0", "endpoints"); !strings.Contains(out, other+"\t192.0.2.3:1\n") || !strings.Contains(out, peer+"\t[2001:db8::2]:51820\n") {
		t.Errorf("wg show endpoints: %s", out)
	}
	a.ping("10.9.0.2")
	a.has("route", "10.77.0.0/24 dev wg0")
	a.run("wg", "syncconf", "wg0", a.write("sync", strings.Replace(ca.String(), "Address", "#", 1)))
	if out := a.run("wg", "show", "wg0", "peers"); out != peer+"\n" {
		t.Errorf("after wg syncconf there are %s", out)
	}
	a.ping("10.9.0.2")
	if out := a.ip("route"); strings.Contains(out, "10.77.0.0") {
		t.Errorf("the route of a peer that wg removed stays:\n%s", out)
	}
	a.run("wg", "set", "wg0", "peer", peer, "remove")
	if _, err := a.try("ping", "-c", "1", "-W", "0.3", "10.9.0.2"); err == nil {
		t.Error("a peer that was removed is there")
	}
	n.hangUp("taken back")
	a.ping("10.9.0.2")
	n.stop()
}
