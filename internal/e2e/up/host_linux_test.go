package up_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tstun/internal/netns"
)

// host is a machine: a network namespace, and /run and /etc/resolv.conf of its
// own, which outlive the programs that run there.
type host struct {
	*netns.NS
	t   *testing.T
	dir string
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{netns.New(t), t, t.TempDir()}
	err := errors.Join(
		os.Mkdir(h.path("run"), 0o755),
		os.WriteFile(h.path("resolv.conf"), nil, 0o644),
		h.Do(quietIPv6),
	)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// quietIPv6 keeps the kernel from giving interfaces addresses of their own, and
// from asking whether an address is taken, both of which take time.
func quietIPv6() error {
	const conf = "/proc/sys/net/ipv6/conf/default/"
	return errors.Join(os.WriteFile(conf+"addr_gen_mode", []byte("1"), 0), os.WriteFile(conf+"accept_dad", []byte("0"), 0))
}

// path returns the path of a file of the host's. Programs find its run at /run.
func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

// write writes a file that its owner alone may read.
func (h *host) write(name, text string) (path string) {
	h.t.Helper()
	path = h.path(name)
	if err := writePrivate(path, text); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// command returns a program for Start, in whose process there is nothing else
// once it runs.
func (h *host) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	const mounted = `mount --bind "$0/run" /run && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"`
	return exec.CommandContext(ctx, "unshare", append([]string{"--mount", "sh", "-c", mounted, h.dir, name}, args...)...)
}

// try runs a program in the host, and returns what it prints.
func (h *host) try(name string, args ...string) (string, error) {
	h.t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		h.t.Skipf("needs %s: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	var out strings.Builder
	cmd := h.command(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := h.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String(), err
}

// run is try for a program that must succeed.
func (h *host) run(name string, args ...string) string {
	h.t.Helper()
	out, err := h.try(name, args...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// ip runs ip(8) for each line.
func (h *host) ip(lines ...string) (out string) {
	h.t.Helper()
	for _, line := range lines {
		out += h.run("ip", strings.Fields(line)...)
	}
	return out
}

// has wants each text in what a command of ip(8) prints.
func (h *host) has(line string, texts ...string) {
	h.t.Helper()
	out := h.ip(line)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			h.t.Errorf("ip %s has no %q:\n%s", line, text, out)
		}
	}
}

// network is all of the host that a tunnel may change, as other programs see it.
func (h *host) network() string {
	h.t.Helper()
	const lists = `ip -o link; ip -o addr; ip rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all; nft list ruleset
cd /proc/sys/net; grep . ipv[46]/conf/*/src_valid_mark ipv[46]/conf/*/rp_filter ipv[46]/conf/*/forwarding ipv6/conf/*/disable_ipv6
cat /etc/resolv.conf; find /run -type f -o -type s`
	return h.run("sh", "-c", lists)
}

// link connects two hosts, with addresses for the first and the second.
func link(a *host, aName, aAddrs string, b *host, bName, bAddrs string) {
	a.t.Helper()
	err := a.Connect(aName, b.NS, bName)
	for _, addr := range strings.Fields(aAddrs) {
		err = errors.Join(err, a.AddAddr(aName, netip.MustParsePrefix(addr)))
	}
	for _, addr := range strings.Fields(bAddrs) {
		err = errors.Join(err, b.AddAddr(bName, netip.MustParsePrefix(addr)))
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// neighbours are two hosts on one cable: 192.0.2.1 and .2, 2001:db8::1 and ::2.
func neighbours(t *testing.T) (a, b *host) {
	t.Helper()
	a, b = newHost(t), newHost(t)
	link(a, "eth0", "192.0.2.1/24 2001:db8::1/64", b, "eth0", "192.0.2.2/24 2001:db8::2/64")
	return a, b
}

// routed are two hosts with a router between them, which is the default route
// of both: 192.0.2.1 and 198.51.100.2, 2001:db8:1::1 and 2001:db8:2::2. A router
// solicits neighbours from link-local addresses alone.
func routed(t *testing.T) (a, router, b *host) {
	t.Helper()
	a, router, b = newHost(t), newHost(t), newHost(t)
	link(a, "eth0", "192.0.2.1/24 2001:db8:1::1/64", router, "a", "192.0.2.254/24 2001:db8:1::ff/64 fe80::ff/64")
	link(b, "eth0", "198.51.100.2/24 2001:db8:2::2/64", router, "b", "198.51.100.254/24 2001:db8:2::ff/64 fe80::ff/64")
	router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	a.ip("route add default via 192.0.2.254", "-6 route add default via 2001:db8:1::ff")
	b.ip("route add default via 198.51.100.254", "-6 route add default via 2001:db8:2::ff")
	return a, router, b
}

// listen listens in the host.
func (h *host) listen(address string) net.Listener {
	h.t.Helper()
	var l net.Listener
	err := h.Do(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { l.Close() })
	return l
}

// listenPacket receives UDP in the host.
func (h *host) listenPacket(address string) net.PacketConn {
	h.t.Helper()
	var c net.PacketConn
	err := h.Do(func() (err error) {
		c, err = net.ListenPacket("udp", address)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// received is how many bytes came out of the host's tunnel.
func (h *host) received() (n int) {
	h.t.Helper()
	if err := h.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/dev")
		if _, line, ok := strings.Cut(string(text), "wg0:"); ok && err == nil {
			_, err = fmt.Sscan(line, &n)
		}
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return n
}
