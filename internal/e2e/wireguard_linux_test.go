package e2e_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/netns"
	"tstun/ipproto"
)

// end is one end of a tunnel, with a network namespace of its own.
type end struct {
	ns     *netns.NS
	name   string // of the interface
	outer  netip.Prefix
	addrs  []netip.Addr // inside the tunnel
	key    *ecdh.PrivateKey
	listen int // the port of WireGuard
}

func newEnd(t *testing.T, name, outer string, addrs ...string) *end {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := &end{ns: netns.New(t), name: name, outer: netip.MustParsePrefix(outer), key: key, listen: 51820}
	for _, a := range addrs {
		e.addrs = append(e.addrs, netip.MustParseAddr(a))
	}
	return e
}

func (e *end) endpoint() netip.AddrPort { return netip.AddrPortFrom(e.outer.Addr(), uint16(e.listen)) }

// run runs a program in the end's namespace.
func (e *end) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := e.ns.Exec(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// do runs f in the end's namespace.
func (e *end) do(t *testing.T, f func() error) {
	t.Helper()
	if err := e.ns.Do(f); err != nil {
		t.Fatal(err)
	}
}

// up gives the tunnel's interface its addresses, and the routes to the peer.
func (e *end) up(t *testing.T, peer *end) {
	t.Helper()
	errs := []error{e.ns.LinkUp(e.name)}
	for i, a := range e.addrs {
		errs = append(errs,
			e.ns.AddAddr(e.name, netip.PrefixFrom(a, a.BitLen())),
			e.ns.AddRoute(e.name, netip.PrefixFrom(peer.addrs[i], a.BitLen())))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// wire connects the outsides of both ends.
func wire(t *testing.T, a, b *end) {
	t.Helper()
	err := a.ns.Connect("wire0", b.ns, "wire0")
	for _, e := range []*end{a, b} {
		err = errors.Join(err, e.ns.AddAddr("wire0", e.outer))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// needKernelWireGuard skips where the kernel or the system has none.
func needKernelWireGuard(t *testing.T) {
	t.Helper()
	for _, program := range []string{"ip", "wg", "ping"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: %v", program, err)
		}
	}
	if _, err := netns.New(t).Exec(t.Context(), "ip", "link", "add", "wg0", "type", "wireguard"); err != nil {
		t.Skipf("needs the kernel's WireGuard: %v", err)
	}
}

// startKernel makes e the kernel's own WireGuard.
func (e *end) startKernel(t *testing.T, peer *end) {
	t.Helper()
	private := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(private, []byte(base64.StdEncoding.EncodeToString(e.key.Bytes())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.run(t, "ip", "link", "add", e.name, "type", "wireguard")
	e.run(t, "wg", "set", e.name, "private-key", private, "listen-port", fmt.Sprint(e.listen),
		"peer", base64.StdEncoding.EncodeToString(peer.key.PublicKey().Bytes()),
		"endpoint", peer.endpoint().String(), "allowed-ips", strings.Join(peer.prefixes(), ","))
	e.up(t, peer)
}

func (e *end) prefixes() (all []string) {
	for _, a := range e.addrs {
		all = append(all, netip.PrefixFrom(a, a.BitLen()).String())
	}
	return all
}

// startOurs makes e a wireguard-go device on a Wrapper on a TUN of New's.
func (e *end) startOurs(t *testing.T, peer *end) *tstun.Wrapper {
	t.Helper()
	var dev tun.Device
	e.do(t, func() (err error) {
		dev, e.name, err = tstun.New(t.Logf, e.name)
		return err
	})
	w := tstun.Wrap(t.Logf, dev)
	t.Cleanup(func() { w.Close() })
	w.SetFilter(peerFilter(t, e))
	wg := device.NewDevice(w, conn.NewDefaultBind(), &device.Logger{Verbosef: device.DiscardLogf, Errorf: t.Logf})
	t.Cleanup(wg.Close)
	config := fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=%v\n",
		hex.EncodeToString(e.key.Bytes()), e.listen, hex.EncodeToString(peer.key.PublicKey().Bytes()), peer.endpoint())
	for _, p := range peer.prefixes() {
		config += "allowed_ip=" + p + "\n"
	}
	if err := wg.IpcSet(config); err != nil {
		t.Fatal(err)
	}
	e.do(t, wg.Up) // its sockets belong to the namespace
	e.up(t, peer)
	return w
}

// The ports that the rules let the peer reach.
const (
	portTCP    = 5201
	portUDP    = 7
	portDenied = 22
)

// peerFilter lets the peer ping e and reach both ports.
func peerFilter(t *testing.T, e *end) *filter.Filter {
	t.Helper()
	all := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	config := filter.Config{}
	for _, a := range e.addrs {
		p := netip.PrefixFrom(a, a.BitLen())
		config.Local = append(config.Local, p)
		config.Matches = append(config.Matches,
			filter.Match{IPProto: []ipproto.Proto{ipproto.ICMPv4, ipproto.ICMPv6}, Srcs: all, Dsts: to(p, filter.AllPorts)},
			filter.Match{IPProto: []ipproto.Proto{ipproto.TCP}, Srcs: all, Dsts: to(p, filter.PortRange{First: portTCP, Last: portTCP})},
			filter.Match{IPProto: []ipproto.Proto{ipproto.UDP}, Srcs: all, Dsts: to(p, filter.PortRange{First: portUDP, Last: portUDP})})
	}
	f, err := filter.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func to(p netip.Prefix, ports filter.PortRange) []filter.NetPortRange {
	return []filter.NetPortRange{{Net: p, Ports: ports}}
}

// TestKernelWireGuard: the kernel's own WireGuard, as the other side of ours,
// pings and is pinged, and moves TCP and UDP both ways over both versions of IP;
// what no rule allows it does not reach.
func TestKernelWireGuard(t *testing.T) {
	needKernelWireGuard(t)
	ours := newEnd(t, "tstun0", "192.0.2.1/24", "10.8.0.1", "fd08::1")
	kernel := newEnd(t, "wg0", "192.0.2.2/24", "10.8.0.2", "fd08::2")
	wire(t, ours, kernel)
	w := ours.startOurs(t, kernel)
	kernel.startKernel(t, ours)
	for _, way := range []struct {
		name     string
		from, to *end
	}{{"to the kernel", ours, kernel}, {"from the kernel", kernel, ours}} {
		for _, addr := range way.to.addrs {
			t.Run(fmt.Sprintf("%s, %v", way.name, addr), func(t *testing.T) {
				ping(t, way.from, addr)
				moveTCP(t, way.from, way.to, addr)
				echoUDP(t, way.from, way.to, addr)
			})
		}
	}
	if c := w.Counters(); c.In.Dropped() != 0 || c.Out.Drops[filter.ReasonNoRule] != 0 {
		t.Errorf("dropped %v in and %v out of what is allowed", c.In.Drops, c.Out.Drops)
	}
	for _, addr := range ours.addrs {
		wantDenied(t, w, kernel, addr)
	}
}

func ping(t *testing.T, from *end, addr netip.Addr) {
	t.Helper()
	out := from.run(t, "ping", "-n", "-c", "3", "-i", "0.05", "-W", "20", addr.String())
	if !strings.Contains(out, " 0% packet loss") {
		t.Error(out)
	}
}

// wantDenied checks that the filter drops what no rule allows.
func wantDenied(t *testing.T, w *tstun.Wrapper, from *end, addr netip.Addr) {
	t.Helper()
	before := w.Counters().In.Drops[filter.ReasonNoRule]
	if c, err := from.dial("tcp", netip.AddrPortFrom(addr, portDenied), time.Second); err == nil {
		c.Close()
		t.Errorf("%v, port %d was reached", addr, portDenied)
	}
	if after := w.Counters().In.Drops[filter.ReasonNoRule]; after == before {
		t.Errorf("%v: nothing was dropped for %v", addr, filter.ReasonNoRule)
	}
}
