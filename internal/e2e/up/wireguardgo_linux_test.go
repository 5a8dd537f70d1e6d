package up_test

import (
	"testing"
	"time"
)

// wireguardGo starts Debian's wireguard-go as wg0, and sets it up by wg and ip
// as wg-quick does.
func (h *host) wireguardGo(c config, addrs ...string) *node {
	h.t.Helper()
	n := h.daemon("wireguard-go", "-f", "wg0")
	file := h.write("setconf", c.String())
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := h.try("wg", "setconf", "wg0", file); err == nil {
			break
		} else if time.Now().After(end) {
			h.t.Fatal(err)
		}
	}
	for _, a := range addrs {
		h.ip("addr add " + a + " dev wg0")
	}
	h.ip("link set mtu 1420 up dev wg0")
	return n
}

// TestWireGuardGo joins a kernel to one behind another program, with a
// preshared key; the other one begins.
func TestWireGuardGo(t *testing.T) {
	t.Parallel()
	a, b := neighbours(t)
	cb, ca := configs("192.0.2.1:51820")
	const secret = "PresharedKey = hfKEKEXnj4xSBbNDYCBPOVxZVMMrhAcyMpMVjMD+GQQ="
	ca.peers[0].lines += "\n" + secret
	cb.peers[0].lines += "\n" + secret
	ca.lines = "Address = 10.9.0.1/24, fd09::1/64\nListenPort = 51820"
	cb.lines = ""
	ca.peers[0].allowed, cb.peers[0].allowed = "10.9.0.2/32, fd09::2/128", "10.9.0.1/32, fd09::1/128"
	n := a.up(ca)
	b.wireguardGo(cb, "10.9.0.2/24", "fd09::2/64")
	b.ping("10.9.0.1")
	exchange(a, b)
	n.stop()
}
