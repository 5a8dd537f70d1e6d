package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tstun/internal/netns"
	"tstun/key"
	"tstun/tunnel"
)

// hosts are two hosts with a cable between them: 192.0.2.1 and .2 on eth0.
func hosts(t *testing.T) (ns [2]*netns.NS) {
	t.Helper()
	ns = [2]*netns.NS{netns.New(t), netns.New(t)}
	if err := ns[0].Connect("eth0", ns[1], "eth0"); err != nil {
		t.Fatal(err)
	}
	for i, n := range ns {
		if err := n.AddAddr("eth0", netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 24)); err != nil {
			t.Fatal(err)
		}
	}
	return ns
}

// startIn starts a tunnel in a namespace.
func startIn(ctx context.Context, ns *netns.NS, c tunnel.Config) (tun *tunnel.Tunnel, err error) {
	err = ns.Do(func() (err error) {
		tun, err = tunnel.Start(ctx, c)
		return err
	})
	return tun, err
}

// kernels returns a Config for each of two hosts. The first sends all IPv4 to
// the second; a device of that name is in neither.
func kernels(t *testing.T) (c [2]tunnel.Config) {
	t.Helper()
	keys := [2]key.Private{key.NewPrivate(), key.NewPrivate()}
	for i := range c {
		c[i] = tunnel.Config{
			Name: fmt.Sprint("tstun", i), Mode: tunnel.ModeKernel, PrivateKey: keys[i], ListenPort: 51820, StateDir: filepath.Join(t.TempDir(), "run"),
			Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}), 24)},
			Peers: []tunnel.Peer{{
				Name: "other", PublicKey: keys[1-i].Public(), AllowedIPs: prefixes("10.9.0.1/32"),
				Endpoint: fmt.Sprintf("192.0.2.%d:51820", 2-i),
			}},
		}
	}
	c[0].Peers[0].AllowedIPs = prefixes("0.0.0.0/0")
	c[0].Peers[0].Required = true
	return c
}

// network returns all that a tunnel may leave in a host.
func network(t *testing.T, ns *netns.NS) (text string) {
	t.Helper()
	for _, command := range []string{
		"ip -o link", "ip -o -4 address", "ip -4 rule", "ip -4 route show table all", "nft list ruleset", "cat /proc/sys/net/ipv4/conf/all/src_valid_mark",
	} {
		f := strings.Fields(command)
		if _, err := exec.LookPath(f[0]); err != nil {
			t.Skip(err)
		}
		text += command + ":\n" + run(t, ns, f...)
	}
	return text
}

func run(t *testing.T, ns *netns.NS, command ...string) string {
	t.Helper()
	out, err := ns.Exec(within(t), command[0], command[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Two kernels ping each other and talk TCP through tunnels, one of them a full
// one, and Close leaves nothing.
func TestKernel(t *testing.T) {
	ns, c := hosts(t), kernels(t)
	before := [2]string{network(t, ns[0]), network(t, ns[1])}
	var tuns [2]*tunnel.Tunnel
	for _, i := range []int{1, 0} {
		var err error
		if tuns[i], err = startIn(within(t), ns[i], c[i]); err != nil {
			t.Fatal(err)
		}
		defer ns[i].Do(tuns[i].Close)
	}
	run(t, ns[0], "ping", "-c", "2", "-i", "0.01", "-W", "10", "10.9.0.2")
	talk(t, ns, tuns)
	wantControl(t, c[0], tuns[0])
	s := tuns[0].Status()
	if s.Mode != tunnel.ModeKernel || s.FwMark == 0 || s.ListenPort != 51820 || s.MTU != 1420 || !s.Peers[0].Up {
		t.Errorf("status %+v", s)
	}
	for i, tun := range tuns {
		if err := ns[i].Do(tun.Close); err != nil {
			t.Error(err)
		}
		if after := network(t, ns[i]); after != before[i] {
			t.Errorf("host %d before:\n%s\nafter:\n%s", i, before[i], after)
		}
	}
	wantNoJournal(t, c[0].StateDir)
	if _, err := os.Stat("/var/run/wireguard/tstun0.sock"); !os.IsNotExist(err) {
		t.Errorf("the socket for wg: %v", err)
	}
}

// wantControl checks that wg sees the tunnel, which nobody else may, and leaves
// a connection open.
func wantControl(t *testing.T, c tunnel.Config, tun *tunnel.Tunnel) {
	t.Helper()
	if w := tun.Status().Warnings; len(w) > 0 && strings.Contains(w[len(w)-1], "another process listens") {
		return // this machine has a tunnel of that name
	}
	const path = "/var/run/wireguard/tstun0.sock"
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket for wg: %v, %v", info, err)
	}
	if out, err := exec.Command("wg", "show", "tstun0", "allowed-ips").CombinedOutput(); err != nil || string(out) != c.Peers[0].PublicKey.String()+"\t0.0.0.0/0\n" {
		t.Errorf("wg show: %v: %s", err, out)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
}

// A process without CAP_NET_ADMIN gets a tunnel in userspace, and is told why.
func TestAutoWithoutRight(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip(err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root has a right to do without")
	}
	cmd := exec.CommandContext(within(t), setpriv, "--bounding-set=-net_admin", "--inh-caps=-net_admin", os.Args[0])
	cmd.Env = append(os.Environ(), autoEnv+"=1", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "userspace: ") || !strings.Contains(string(out), "no-net-admin") {
		t.Errorf("got %q, %v", out, err)
	}
}

// A process with it gets the kernel's.
func TestAutoWithRight(t *testing.T) {
	ns, c := hosts(t), kernels(t)[1]
	c.Mode = tunnel.ModeAuto
	tun, err := startIn(within(t), ns[1], c)
	if err != nil {
		t.Fatal(err)
	}
	defer ns[1].Do(tun.Close)
	if s := tun.Status(); s.Mode != tunnel.ModeKernel || s.ModeReason == "" {
		t.Errorf("mode %s, since %s", s.Mode, s.ModeReason)
	}
	waited := make(chan error, 1)
	go func() { waited <- tun.Wait() }()
	run(t, ns[1], "ip", "link", "del", c.Name)
	if err := <-waited; !errors.Is(err, tunnel.ErrEnded) {
		t.Errorf("the interface was deleted: Wait returns %v", err)
	}
	if err := ns[1].Do(tun.Close); err != nil {
		t.Error(err)
	}
	wantNoJournal(t, c.StateDir)
}

// talk sends text from the second host to the first, over TCP.
func talk(t *testing.T, ns [2]*netns.NS, tuns [2]*tunnel.Tunnel) {
	t.Helper()
	var l net.Listener
	var c net.Conn
	err := ns[1].Do(func() (err error) {
		l, err = tuns[1].Listen(within(t), "tcp4", "10.9.0.2:80")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			fmt.Fprint(c, "hello ", c.RemoteAddr().(*net.TCPAddr).IP)
			c.Close()
		}
	}()
	err = ns[0].Do(func() (err error) {
		c, err = tuns[0].DialContext(within(t), "tcp4", "10.9.0.2:80")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if text, err := io.ReadAll(c); err != nil || string(text) != "hello 10.9.0.1" {
		t.Errorf("got %q, %v", text, err)
	}
}

// wantNoJournal checks that nothing is left for the next start to undo.
func wantNoJournal(t *testing.T, dir string) {
	t.Helper()
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Size() > 0 {
			t.Errorf("%s is left", f.Name())
		}
	}
}

// Whatever step fails, the host is as it was.
func TestKernelStartFails(t *testing.T) {
	ns := hosts(t)
	run(t, ns[0], "ip", "link", "add", "taken0", "type", "veth", "peer", "name", "taken1")
	err := ns[0].Do(func() error {
		l, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 7})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	before := network(t, ns[0])
	for want, change := range map[string]func(c *tunnel.Config){
		"cannot be the name of an interface": func(c *tunnel.Config) { c.Name = "a/b" },
		"create taken0":                      func(c *tunnel.Config) { c.Name = "taken0" },
		"take charge of tstun0":              func(c *tunnel.Config) { c.StateDir = "/proc/nowhere" },
		"listen on UDP port 7":               func(c *tunnel.Config) { c.ListenPort = 7 },
		"hostnet: FwMark":                    func(c *tunnel.Config) { c.FwMark = 254 },
		"set tstun0":                         func(c *tunnel.Config) { c.Addresses = append(c.Addresses, prefixes("::1/128")...) }, // of loopback alone
		"no handshake with peer 1 (other)":   func(*tunnel.Config) {},
	} {
		c := kernels(t)[0]
		change(&c)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if tun, err := startIn(ctx, ns[0], c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v, %v", want, tun, err)
		}
		cancel()
		if after := network(t, ns[0]); after != before {
			t.Errorf("%s: before:\n%s\nafter:\n%s", want, before, after)
		}
		if c.StateDir != "/proc/nowhere" {
			wantNoJournal(t, c.StateDir)
		}
	}
}
