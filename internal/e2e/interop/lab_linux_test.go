package interop_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tstun/internal/netns"
	"tstun/key"
)

// patience bounds what should take milliseconds, on a machine that does other
// things too.
const patience = 20 * time.Second

// host is a network namespace.
type host struct {
	*netns.NS
	t *testing.T
}

// newHost makes a host in which IPv6 addresses can be used at once and the
// kernel gives interfaces none of its own.
func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{netns.New(t), t}
	h.set("net/ipv6/conf/default/addr_gen_mode", "1")
	h.set("net/ipv6/conf/default/accept_dad", "0")
	return h
}

// set writes to a file of /proc/sys.
func (h *host) set(path, text string) {
	h.t.Helper()
	if err := h.Do(func() error { return os.WriteFile("/proc/sys/"+path, []byte(text), 0) }); err != nil {
		h.t.Fatal(err)
	}
}

// try runs a program.
func (h *host) try(name string, args ...string) (string, error) {
	h.t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		h.t.Skipf("needs %s: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), 3*time.Minute)
	defer cancel()
	out, err := h.Exec(ctx, name, args...)
	return string(out), err
}

// run runs a command line without quoting, which must succeed.
func (h *host) run(command string) string {
	h.t.Helper()
	f := strings.Fields(command)
	out, err := h.try(f[0], f[1:]...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// addrs gives an interface addresses.
func (h *host) addrs(dev string, addrs ...string) {
	h.t.Helper()
	for _, a := range addrs {
		if err := h.AddAddr(dev, netip.MustParsePrefix(a)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// lab is two hosts with a cable between them: 192.0.2.1 and .2 on eth0. In the
// tunnel they are 10.9.0.1 and .2, fd09::1 and ::2.
type lab struct {
	t            *testing.T
	ours, theirs *host // the second has the kernel's WireGuard
	keys         [2]key.Private
	dir          string // of files
}

const (
	ourDev, theirDev = "interop0", "wg0"
	port             = 51820
)

// newCable makes one without a tunnel.
func newCable(t *testing.T) *lab {
	t.Helper()
	l := &lab{t, newHost(t), newHost(t), [2]key.Private{key.NewPrivate(), key.NewPrivate()}, t.TempDir()}
	if err := l.ours.Connect("eth0", l.theirs.NS, "eth0"); err != nil {
		t.Fatal(err)
	}
	l.ours.addrs("eth0", "192.0.2.1/24")
	l.theirs.addrs("eth0", "192.0.2.2/24")
	return l
}

// newLab makes one with the kernel's WireGuard, or skips the test where there is
// none.
func newLab(t *testing.T) *lab {
	t.Helper()
	l := newCable(t)
	if out, err := l.theirs.try("ip", "link", "add", theirDev, "type", "wireguard"); err != nil {
		t.Skipf("needs the kernel's WireGuard: %s", out)
	}
	return l
}

// file writes a file of keys.
func (l *lab) file(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// conf is a file for one end of the tunnel, 0 for ours, with lines for its
// [Interface] and its [Peer].
func (l *lab) conf(end int, iface, peer string) string {
	return fmt.Sprintf("[Interface]\nPrivateKey = %s\n%s\n[Peer]\nPublicKey = %s\n%s\n",
		l.keys[end].Reveal(), iface, l.keys[1-end].Public(), peer)
}

const (
	ourInterface   = "Address = 10.9.0.1/24, fd09::1/64\nListenPort = 51820"
	ourPeer        = "AllowedIPs = 10.9.0.2/32, fd09::2/128"
	theirInterface = "ListenPort = 51820"
	theirPeer      = "AllowedIPs = 10.9.0.1/32, fd09::1/128"
	theyAreAt      = "\nEndpoint = 192.0.2.2:51820"
	weAreAt        = "\nEndpoint = 192.0.2.1:51820"
)

// startTheirs sets up the kernel's end with wg and ip. peer are lines of its
// [Peer] besides its addresses.
func (l *lab) startTheirs(peer string) {
	l.t.Helper()
	l.theirs.run("wg setconf " + theirDev + " " + l.file("theirs.conf", l.conf(1, theirInterface, theirPeer+peer)))
	l.theirs.addrs(theirDev, "10.9.0.2/24", "fd09::2/64")
	l.theirs.run("ip link set " + theirDev + " up")
}

// startOurs runs tstun up. peer are lines as startTheirs has them.
func (l *lab) startOurs(mode, peer string, args ...string) *program {
	l.t.Helper()
	file := l.file(ourDev+".conf", l.conf(0, ourInterface, ourPeer+peer))
	return l.up(mode, file, args...)
}

// modes runs a test in both modes.
func modes(t *testing.T, test func(t *testing.T, mode string)) {
	for _, mode := range []string{"kernel", "userspace"} {
		t.Run(mode, func(t *testing.T) { test(t, mode) })
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() (got string, ok bool)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got, there := ok()
		if there {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %s", what, got)
		}
		time.Sleep(100 * time.Millisecond) // what is asked may be a program
	}
}
