package up_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestLoopback joins two tunnels in userspace on loopback, for which nobody needs
// a right, and has them give a port of one host to the other.
func TestLoopback(t *testing.T) {
	t.Parallel()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go serveEcho(echo)
	ca, cb := configs(freePort(t))
	_, port, _ := strings.Cut(ca.peers[0].lines, "127.0.0.1:")
	cb.lines = strings.Replace(cb.lines, "51820", port, 1)
	b := upHere(t, "b", cb, "--expose", fmt.Sprint("tcp:7=", echo.Addr()))
	a := upHere(t, "a", ca, "--socks5", "0", "--forward", "tcp:0=10.9.0.2:7", "--forward", "tcp:0=[fd09::2]:7")
	c := dialHere(t, a.listensAt("SOCKS5", 0))
	if _, err := socks(c, socksConnect, netip.MustParseAddrPort("10.9.0.2:7")); err != nil {
		t.Fatal(err)
	}
	conns := []net.Conn{c}
	for i := range 2 {
		conns = append(conns, dialHere(t, a.listensAt("forward", i)))
	}
	each(t, conns, wantEcho)
	b.stop()
	a.stop()
	for _, c := range conns {
		if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
			t.Error("a connection outlives the tunnel")
		}
	}
}

// TestConnect makes a connection on standard input and output, through a tunnel
// that runs and through one of its own.
func TestConnect(t *testing.T) {
	t.Parallel()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	ca, cb := configs(freePort(t))
	_, port, _ := strings.Cut(ca.peers[0].lines, "127.0.0.1:")
	cb.lines = strings.Replace(cb.lines, "51820", port, 1)
	b := upHere(t, "b", cb, "--expose", fmt.Sprint("tcp:7=", echo.Addr()))
	dir := t.TempDir()
	a := upHere(t, "a", ca, "--state-dir", dir, "--socks5", "0")
	wantEchoed(t, "--tunnel", "a", "--state-dir", dir)
	a.stop()
	file := filepath.Join(dir, "a.conf")
	if err := writePrivate(file, ca.String()); err != nil {
		t.Fatal(err)
	}
	wantEchoed(t, "--config", file)
	b.stop()
}

// wantEchoed wants tstun connect to bring back what it was given, and to end
// well.
func wantEchoed(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), append([]string{"connect", "10.9.0.2:7"}, args...)...)
	sent := strings.Repeat("there and back, ", 50_000)
	var errs strings.Builder
	cmd.Stdin, cmd.Stderr = strings.NewReader(sent), &errs
	came, err := cmd.Output()
	if err != nil || string(came) != sent {
		t.Errorf("connect %q: %v, %d bytes of %d\n%s", args, err, len(came), len(sent), &errs)
	}
}

// freePort returns an address of loopback at which nobody receives UDP.
func freePort(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// upHere starts a tunnel in userspace where the test is.
func upHere(t *testing.T, name string, c config, args ...string) *node {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".conf")
	if err := writePrivate(file, c.String()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), program(t), append([]string{"up", file, "--mode", "userspace", "--state-dir", filepath.Dir(file)}, args...)...)
	n := begin(t, cmd, (*exec.Cmd).Start)
	n.await(0, `msg="the tunnel runs" name=`+name+" ")
	return n
}

// listensAt waits until the program says where it listens for a purpose, for the
// number of those that say so.
func (n *node) listensAt(what string, number int) string {
	n.t.Helper()
	line := regexp.MustCompile(`msg="` + what + `[^"]* listens" network=tcp address=(\S+)\n`)
	for from := 0; ; {
		n.await(from, "\n")
		log := n.log.String()
		all := line.FindAllStringSubmatch(log, number+1)
		if len(all) > number {
			return all[number][1]
		}
		from = len(log)
	}
}

func dialHere(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}
