package interop_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// exit makes the kernel's end the way to a third host, 203.0.113.9 and
// 2001:db8:f::9, which replies to the tunnel's addresses alone. The endpoint,
// 198.51.100.7, is behind our default route.
func (l *lab) exit() *host {
	l.t.Helper()
	far := newHost(l.t)
	if err := l.theirs.Connect("eth1", far.NS, "eth0"); err != nil {
		l.t.Fatal(err)
	}
	l.theirs.addrs("eth1", "203.0.113.1/24", "2001:db8:f::1/64", "fe80::1/64") // routers ask for neighbours from a link-local address
	l.theirs.addrs("lo", "198.51.100.7/32")
	l.theirs.set("net/ipv4/ip_forward", "1")
	l.theirs.set("net/ipv6/conf/all/forwarding", "1")
	far.addrs("eth0", "203.0.113.9/24", "2001:db8:f::9/64")
	far.run("ip route add 10.9.0.0/24 via 203.0.113.1")
	far.run("ip route add fd09::/64 via 2001:db8:f::1")
	l.ours.run("ip route add default via 192.0.2.2")
	return far
}

// whoAmI has far tell who it is that comes to addr, by way of at.
func (l *lab) whoAmI(far *host, addr, at string) (client string) {
	l.t.Helper()
	server := opened(l.t, far, func() (net.Listener, error) { return net.Listen("tcp", addr) })
	defer server.Close()
	go func() {
		if c, err := server.Accept(); err == nil {
			fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP)
			c.Close()
		}
	}()
	c := opened(l.t, l.ours, func() (net.Conn, error) { return net.DialTimeout("tcp", at, patience) })
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(c)
	if err != nil {
		l.t.Error(err)
	}
	return string(text)
}

// left is all that a tunnel may leave on a host.
func (h *host) left() string {
	h.t.Helper()
	return h.run("ip -o addr") + h.run("ip rule") + h.run("ip -6 rule") + h.run("ip route show table all") +
		h.run("nft list ruleset") + h.run("cat /proc/sys/net/ipv4/conf/all/src_valid_mark")
}

// The kernel is the exit of a full tunnel, while sources are tested strictly.
func TestFullTunnel(t *testing.T) {
	for name, routes := range map[string]string{
		"default routes": "0.0.0.0/0, ::/0", "halves": "0.0.0.0/1, 128.0.0.0/1, ::/1, 8000::/1",
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			far := l.exit()
			l.ours.set("net/ipv4/conf/all/rp_filter", "1")
			before := l.ours.left()
			l.startTheirs("")
			l.ours.reachesNot("203.0.113.9")
			p := l.up("kernel", l.file(ourDev+".conf", l.conf(0, ourInterface, "AllowedIPs = "+routes+"\nEndpoint = 198.51.100.7:51820")))
			l.ours.reaches("203.0.113.9")
			l.ours.reaches("2001:db8:f::9")
			for addr, want := range map[string]string{"203.0.113.9:80": "10.9.0.1", "[2001:db8:f::9]:80": "fd09::1"} {
				if got := l.whoAmI(far, addr, addr); got != want {
					t.Errorf("%s is reached from %q, want %s", addr, got, want)
				}
			}
			self, peer := l.ours.dump(ourDev)
			if self.mark != "0xca6c" || peer.endpoint != "198.51.100.7:51820" {
				t.Errorf("wg shows %+v", peer)
			}
			if out := l.ours.run("ip route get 198.51.100.7 mark 0xca6c"); !strings.Contains(out, "dev eth0") {
				t.Errorf("the tunnel's own packets go %s", out)
			}
			p.end()
			if after := l.ours.left(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// In userspace, too, and the host's own network is not touched.
func TestFullTunnelInUserspace(t *testing.T) {
	l := newLab(t)
	far := l.exit()
	before := l.ours.left()
	l.startTheirs("")
	l.up("userspace", l.file(ourDev+".conf", l.conf(0, ourInterface, "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 198.51.100.7:51820")),
		"--forward", "tcp:127.0.0.1:8001=203.0.113.9:80", "--forward", "tcp:127.0.0.1:8002=[2001:db8:f::9]:80")
	for _, w := range []struct{ addr, at, want string }{
		{"203.0.113.9:80", "127.0.0.1:8001", "10.9.0.1"}, {"[2001:db8:f::9]:80", "127.0.0.1:8002", "fd09::1"},
	} {
		if got := l.whoAmI(far, w.addr, w.at); got != w.want {
			t.Errorf("%s is reached from %q, want %s", w.addr, got, w.want)
		}
	}
	if after := l.ours.left(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
