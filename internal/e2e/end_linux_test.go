package e2e_test

import (
	"bufio"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tstun"
	"tstun/internal/netns"
	"tstun/internal/rig"
)

// end is one end of a tunnel, with a network namespace of its own. What is in
// it is started by startKernel, startOurs or startProcess.
type end struct {
	rig.Host
	outer  netip.Prefix
	addrs  []netip.Addr // inside the tunnel
	key    *ecdh.PrivateKey
	listen int // the port of WireGuard
}

// newEnds makes two ends with a cable between them. The outside of the first is
// 192.0.2.1.
func newEnds(t *testing.T, a, b end) (*end, *end) {
	t.Helper()
	ends := [2]*end{&a, &b}
	for i, e := range ends {
		e.NS, e.key, e.listen = netns.New(t), rig.NewKey(t), 51820
		e.outer = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 24)
		e.do(t, func() error { return e.quiet() })
	}
	err := a.NS.Connect("wire0", b.NS, "wire0")
	for _, e := range ends {
		err = errors.Join(err, e.NS.AddAddr("wire0", e.outer))
	}
	if err != nil {
		t.Fatal(err)
	}
	return ends[0], ends[1]
}

// quiet keeps a namespace without an IPv6 address in the tunnel from sending
// what nobody asked it to, which it does over IPv6.
func (e *end) quiet() error {
	for _, a := range e.addrs {
		if a.Is6() {
			return nil
		}
	}
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (e *end) endpoint() netip.AddrPort { return netip.AddrPortFrom(e.outer.Addr(), uint16(e.listen)) }

// do runs f in the end's namespace.
func (e *end) do(t *testing.T, f func() error) {
	t.Helper()
	if err := e.NS.Do(f); err != nil {
		t.Fatal(err)
	}
}

// up gives the tunnel's interface its addresses, and the routes to the peer.
func (e *end) up(t *testing.T, peer *end) {
	t.Helper()
	errs := []error{e.NS.LinkUp(e.Name)}
	for i, a := range e.addrs {
		errs = append(errs,
			e.NS.AddAddr(e.Name, netip.PrefixFrom(a, a.BitLen())),
			e.NS.AddRoute(e.Name, netip.PrefixFrom(peer.addrs[i], a.BitLen())))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// spec returns what wireguard-go needs to know to be this end.
func (e *end) spec(kind string, peer *end) *spec {
	return &spec{
		Kind: kind, Device: e.Name, Addrs: e.addrs, Key: e.key.Bytes(),
		PeerKey: peer.key.PublicKey().Bytes(), PeerAddrs: peer.addrs, Port: e.listen, Endpoint: peer.endpoint(),
	}
}

// startOurs makes e wireguard-go on a Wrapper in this process.
func (e *end) startOurs(t *testing.T, peer *end) (w *tstun.Wrapper) {
	t.Helper()
	e.do(t, func() error {
		wg, wrapper, err := e.spec(wrapped, peer).start(t.Logf)
		if err == nil {
			t.Cleanup(wg.Close)
		}
		w = wrapper
		return err
	})
	e.up(t, peer)
	return w
}

// startKernel makes e the kernel's own WireGuard.
func (e *end) startKernel(t *testing.T, peer *end) {
	t.Helper()
	private := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(private, []byte(base64.StdEncoding.EncodeToString(e.key.Bytes())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var allowed []string
	for _, p := range rig.Local(peer.addrs...) {
		allowed = append(allowed, p.String())
	}
	e.Run(t, "ip", "link", "add", e.Name, "type", "wireguard")
	e.Run(t, "wg", "set", e.Name, "private-key", private, "listen-port", fmt.Sprint(e.listen),
		"peer", base64.StdEncoding.EncodeToString(peer.key.PublicKey().Bytes()),
		"endpoint", peer.endpoint().String(), "allowed-ips", strings.Join(allowed, ","))
	e.up(t, peer)
}

// startProcess makes e wireguard-go in a process of its own, which ends with
// the test, and waits until it is up.
func (e *end) startProcess(t *testing.T, kind string, peer *end) process {
	t.Helper()
	text, err := json.Marshal(e.spec(kind, peer))
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), nodeVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 2 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	e.do(t, cmd.Start)
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("%s node said %q: %v", kind, line, err)
	}
	e.up(t, peer)
	return process{cmd.Process.Pid}
}
