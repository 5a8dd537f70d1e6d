package tunnel_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tstun/internal/netns"
	"tstun/tunnel"
)

// kernelPair returns two tunnels in kernel mode, 10.9.0.1 and .2, that had a handshake.
func kernelPair(t *testing.T) (ns [2]*netns.NS, tuns [2]*tunnel.Tunnel) {
	t.Helper()
	ns = hosts(t)
	c := kernels(t)
	c[0].Peers[0].AllowedIPs = prefixes("10.9.0.2/32")
	for _, i := range []int{1, 0} {
		tun, err := startIn(within(t), ns[i], c[i])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ns[i].Do(tun.Close) })
		tuns[i] = tun
	}
	return ns, tuns
}

// socketIn opens a socket in a namespace, closed with the test.
func socketIn(t *testing.T, ns *netns.NS, network, address string, set func(fd int) error) {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if set == nil {
			return nil
		}
		if e := c.Control(func(fd uintptr) { err = set(int(fd)) }); e != nil {
			return e
		}
		return err
	}}
	err := ns.Do(func() error {
		if strings.HasPrefix(network, "udp") {
			c, err := lc.ListenPacket(context.Background(), network, address)
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			return err
		}
		l, err := lc.Listen(context.Background(), network, address)
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// In kernel mode it is known exactly whether a program takes what a peer begins.
func TestExplainProgram(t *testing.T) {
	ns, tuns := kernelPair(t)
	socketIn(t, ns[1], "tcp", "10.9.0.2:80", nil)
	socketIn(t, ns[1], "tcp", "127.0.0.1:81", nil)
	socketIn(t, ns[1], "tcp", "[::]:82", nil)
	socketIn(t, ns[1], "tcp6", "[::]:83", nil) // IPv6 alone
	socketIn(t, ns[1], "tcp", "0.0.0.0:84", func(fd int) error { return unix.BindToDevice(fd, "eth0") })
	socketIn(t, ns[1], "tcp", "0.0.0.0:85", func(fd int) error { return unix.BindToDevice(fd, "tstun1") })
	socketIn(t, ns[1], "udp", "10.9.0.2:80", nil)
	if err := ns[1].Do(func() error {
		d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.9.0.2:81"))}
		c, err := d.Dial("udp", "10.9.0.1:9") // takes what comes from there alone
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ dst, proto, want, evidence string }{
		{"10.9.0.2:80", "tcp", "", ""},
		{"10.9.0.2:81", "tcp", "program nobody-listens", "programs listen at 127.0.0.1 alone"},
		{"10.9.0.2:82", "tcp", "", ""},
		{"10.9.0.2:83", "tcp", "program nobody-listens", "programs listen at :: alone"},
		{"10.9.0.2:84", "tcp", "program nobody-listens", ""},
		{"10.9.0.2:85", "tcp", "", ""},
		{"10.9.0.2:86", "tcp", "program nobody-listens", ""},
		{"10.9.0.2:80", "udp", "", ""},
		{"10.9.0.2:81", "udp", "program nobody-listens", ""},
		{"10.9.0.2:82", "udp", "program nobody-listens", ""},
	} {
		_ = ns[1].Do(func() error {
			e := explain(within(t), t, tuns[1], "10.9.0.1", tt.dst, tt.proto)
			if got := first(t, e); got != tt.want {
				t.Errorf("%s %s: %q, want %q: %+v", tt.proto, tt.dst, got, tt.want, e)
			} else if c := e.Wrong(); c != nil && c.Evidence != tt.evidence {
				t.Errorf("%s %s: %+v", tt.proto, tt.dst, c)
			}
			return nil
		})
	}
}

// In kernel mode the host itself resets what was accepted, and answers are told as in
// userspace.
func TestTraceKernel(t *testing.T) {
	ns, tuns := kernelPair(t)
	socketIn(t, ns[1], "tcp", "10.9.0.2:80", nil)
	for _, tt := range []struct{ dst, proto, want string }{
		{"10.9.0.2:80", "tcp", "answered"},
		{"10.9.0.2:81", "tcp", "closed"},
		{"10.9.0.2:81", "udp", "closed"},
		{"10.9.0.2", "icmp", "answered"},
	} {
		_ = ns[0].Do(func() error {
			if got := came(trace(within(t), t, tuns[0], "10.9.0.1", tt.dst, tt.proto, patience)); got != tt.want {
				t.Errorf("%s %s: %q, want %q", tt.proto, tt.dst, got, tt.want)
			}
			return nil
		})
	}
	for ctx := within(t); strings.Contains(run(t, ns[1], "cat", "/proc/net/tcp"), " 03 "); time.Sleep(time.Millisecond) { // SYN_RECV
		if ctx.Err() != nil {
			t.Fatal("a connection stays half open")
		}
	}
	run(t, ns[1], "nft", "add table inet f; add chain inet f i { type filter hook input priority 0; }; add rule inet f i tcp dport 80 drop")
	_ = ns[0].Do(func() error {
		tr := trace(within(t), t, tuns[0], "10.9.0.1", "10.9.0.2:80", "tcp", 30*time.Millisecond)
		if got := came(tr); got != "silent" || tr.Probe.Presence != tunnel.PresencePong {
			t.Errorf("a firewall that drops: %q %+v", got, tr.Probe)
		}
		return nil
	})
}
