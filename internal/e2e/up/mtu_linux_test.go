package up_test

import (
	"fmt"
	"strconv"
	"testing"
)

// overhead is what WireGuard adds to a packet over IPv6, in bytes.
const overhead = 40 + 8 + 32

// TestMTU has the tunnel use what the network beneath it can carry, and no more.
func TestMTU(t *testing.T) {
	t.Parallel()
	for _, mtu := range []int{1400, 9000} {
		t.Run(strconv.Itoa(mtu), func(t *testing.T) {
			t.Parallel()
			a, router, b := routed(t)
			a.ip(fmt.Sprint("link set eth0 mtu ", mtu))
			router.ip(fmt.Sprint("link set dev a mtu ", mtu), fmt.Sprint("link set dev b mtu ", mtu))
			b.ip(fmt.Sprint("link set eth0 mtu ", mtu))
			ca, cb := configs("[2001:db8:2::2]:51820")
			b.up(cb)
			a.up(ca)
			inside := mtu - overhead
			a.has("link show dev wg0", fmt.Sprint("mtu ", inside, " "))
			b.has("link show dev wg0", fmt.Sprint("mtu ", inside, " "))
			a.wantUncut("10.9.0.2", inside-20-8)
			a.wantUncut("fd09::2", inside-40-8)
			beginTCP(a, b, "10.9.0.2")()
			beginTCP(a, b, "fd09::2", "-R")()
		})
	}
}

// wantUncut pings with size bytes, which nobody may cut, and wants one byte more
// to be refused.
func (h *host) wantUncut(to string, size int) {
	h.t.Helper()
	h.run("ping", "-n", "-c", "2", "-i", "0.01", "-W", "20", "-M", "do", "-s", strconv.Itoa(size), to)
	if _, err := h.try("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", strconv.Itoa(size+1), to); err == nil {
		h.t.Errorf("a packet to %s is larger than the tunnel", to)
	}
}

// TestNarrowPath transfers through a router whose other side carries less than
// the tunnel's packets have: the kernel learns so, and cuts them.
func TestNarrowPath(t *testing.T) {
	t.Parallel()
	for name, endpoint := range map[string]string{"IPv4": "198.51.100.2:51820", "IPv6": "[2001:db8:2::2]:51820"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, router, b := routed(t)
			router.ip("link set dev b mtu 1400")
			b.ip("link set eth0 mtu 1400")
			ca, cb := configs(endpoint)
			cb.lines += "\nMTU = 1420" // as its other end
			b.up(cb)
			a.up(ca)
			a.ping("10.9.0.2")
			beginTCP(a, b, "10.9.0.2")()
			beginTCP(a, b, "fd09::2", "-R")()
		})
	}
}
