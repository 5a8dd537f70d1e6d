package interop_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// way is how a connection goes through the tunnel: from dials at, and it comes
// to the program that listens in to.
type way struct {
	name       string
	from, to   *host
	at, listen string // host:port
}

// ways are those of a mode, and the command line that opens them: in kernel mode
// programs talk as on any network; in userspace through forwarded ports.
func (l *lab) ways(mode string) (ways []way, args []string) {
	if mode == "kernel" {
		return []way{
			{"to the kernel", l.ours, l.theirs, "10.9.0.2:7001", "10.9.0.2:7001"},
			{"to the kernel by IPv6", l.ours, l.theirs, "[fd09::2]:7002", "[fd09::2]:7002"},
			{"from the kernel", l.theirs, l.ours, "10.9.0.1:7003", "10.9.0.1:7003"},
			{"from the kernel by IPv6", l.theirs, l.ours, "[fd09::1]:7003", "[fd09::1]:7003"},
		}, nil
	}
	for _, network := range []string{"tcp", "udp"} {
		args = append(args,
			"--forward", network+":127.0.0.1:8001=10.9.0.2:7001", "--forward", network+":127.0.0.1:8002=[fd09::2]:7002",
			"--expose", network+":7003=127.0.0.1:8003")
	}
	return []way{
		{"to the kernel", l.ours, l.theirs, "127.0.0.1:8001", "10.9.0.2:7001"},
		{"to the kernel by IPv6", l.ours, l.theirs, "127.0.0.1:8002", "[fd09::2]:7002"},
		{"from the kernel", l.theirs, l.ours, "10.9.0.1:7003", "127.0.0.1:8003"},
		{"from the kernel by IPv6", l.theirs, l.ours, "[fd09::1]:7003", "127.0.0.1:8003"},
	}, args
}

const (
	moved    = 256 << 10 // bytes over TCP
	datagram = 1200      // bytes, which no MTU here cuts
	repeats  = 5
)

// moveTCP sends random bytes and wants them back.
func (w way) moveTCP(t *testing.T) {
	t.Helper()
	l := opened(t, w.to, func() (net.Listener, error) { return net.Listen("tcp", w.listen) })
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	c := opened(t, w.from, func() (net.Conn, error) { return net.DialTimeout("tcp", w.at, patience) })
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	sent, got := random(moved), make([]byte, moved)
	go c.Write(sent)
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%s, TCP: %d of %d bytes came back, %v", w.name, n, moved, err)
	}
}

// echoUDP sends datagrams and wants each back. One that is lost is sent again.
func (w way) echoUDP(t *testing.T) {
	t.Helper()
	l := opened(t, w.to, func() (net.PacketConn, error) { return net.ListenPacket("udp", w.listen) })
	defer l.Close()
	go func() {
		b := make([]byte, 2*datagram)
		for {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			l.WriteTo(b[:n], from)
		}
	}()
	c := opened(t, w.from, func() (net.Conn, error) { return net.Dial("udp", w.at) })
	defer c.Close()
	for i := range repeats {
		if err := echo(c, random(datagram-i)); err != nil {
			t.Errorf("%s, UDP: %v", w.name, err)
		}
	}
}

// echo sends a datagram until it comes back.
func echo(c net.Conn, sent []byte) error {
	got := make([]byte, 2*datagram)
	for range 5 {
		if _, err := c.Write(sent); err != nil {
			return err
		}
		for {
			c.SetReadDeadline(time.Now().Add(patience / 5))
			n, err := c.Read(got)
			if err != nil {
				break
			}
			if bytes.Equal(got[:n], sent) {
				return nil
			}
		}
	}
	return fmt.Errorf("a datagram of %d bytes did not come back", len(sent))
}

// opened is a socket in a host.
func opened[T any](t *testing.T, h *host, open func() (T, error)) (s T) {
	t.Helper()
	err := h.Do(func() (err error) {
		s, err = open()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// ping wants replies to all of three pings.
func (h *host) ping(to string, args ...string) {
	h.t.Helper()
	if out, err := h.try("ping", append(args, "-n", "-c", "3", "-i", "0.05", "-W", "10", to)...); err != nil || !strings.Contains(out, " 0% packet loss") {
		h.t.Errorf("ping %s: %v", to, err)
	}
}

// reaches pings until there is a reply.
func (h *host) reaches(to string) {
	h.t.Helper()
	eventually(h.t, "ping "+to, func() (string, bool) {
		out, err := h.try("ping", "-n", "-c", "1", "-W", "1", to)
		return out, err == nil
	})
}

// reachesNot wants no reply.
func (h *host) reachesNot(to string) {
	h.t.Helper()
	if out, err := h.try("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", to); err == nil {
		h.t.Errorf("ping %s: %s", to, out)
	}
}
