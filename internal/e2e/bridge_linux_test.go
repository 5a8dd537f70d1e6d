package e2e_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/netns"
	"tstun/internal/rig"
)

// guest is a namespace with a port on a bridge.
type guest struct {
	rig.Host
	addrs []netip.Addr
}

// bridged is a bridge with two guests and a TAP, through which WireGuard has them
// beside a host elsewhere.
type bridged struct {
	bridge *rig.Host
	w      *tstun.Wrapper
	guests [2]*guest
	far    *rig.Host
	farAt  []netip.Addr
}

func newBridged(t *testing.T) *bridged {
	t.Helper()
	b := &bridged{bridge: &rig.Host{NS: netns.New(t)}}
	b.bridge.Run(t, "ip", "link", "add", "br0", "type", "bridge")
	b.bridge.Run(t, "ip", "link", "set", "br0", "up")
	dev := b.bridge.Open(t, func() (tun.Device, string, error) { return tstun.New(t.Logf, "tap:tap0:br0") })
	var all []netip.Addr
	for i := range b.guests {
		g := &guest{Host: rig.Host{NS: netns.New(t), Name: "eth0"}}
		port := fmt.Sprintf("port%d", i)
		if err := b.bridge.NS.Connect(port, g.NS, "eth0"); err != nil {
			t.Fatal(err)
		}
		b.bridge.Run(t, "ip", "link", "set", port, "master", "br0")
		g.Run(t, "ip", "link", "set", "eth0", "mtu", fmt.Sprint(tstun.DefaultMTU))
		g.addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 66, 0, byte(10 + i)}), netip.MustParseAddr(fmt.Sprintf("fd66::%d", 10+i))}
		g.Configure(t, g.addrs...)
		all = append(all, g.addrs...)
		b.guests[i] = g
	}
	b.w = tstun.Wrap(t.Logf, dev)
	b.w.SetFilter(filter.NewAllowAll(nil))
	near := rig.NewNode(t, b.w, all...)

	b.farAt = []netip.Addr{netip.MustParseAddr("10.66.0.200"), netip.MustParseAddr("fd66::200")}
	farHost, farDev := rig.NewHost(t, rig.TUNOfNew(t))
	b.far = farHost
	b.far.Configure(t, b.farAt...)
	farW := tstun.Wrap(t.Logf, farDev)
	farW.SetFilter(filter.NewAllowAll(nil))
	rig.Join(t, near, rig.NewNode(t, farW, b.farAt...))
	return b
}

// TestBridgedGuests: guests on a bridge and a host beyond WireGuard ping each other
// and move TCP both ways, over both versions of IP; the guests' own traffic stays on
// the bridge.
func TestBridgedGuests(t *testing.T) {
	b := newBridged(t)
	for v, far := range b.farAt {
		t.Run(far.String(), func(t *testing.T) {
			near := b.guests[0]
			pings(t, b.far, b.guests[1].addrs[v]) // which nobody has heard of
			pings(t, &near.Host, far)
			pings(t, &b.guests[1].Host, far)
			movesTCP(t, &near.Host, b.far, far)
			movesTCP(t, b.far, &near.Host, near.addrs[v])
		})
	}
	before := b.w.Counters()
	for v, other := range b.guests[1].addrs {
		pings(t, &b.guests[0].Host, other)
		wantNeighbour(t, b.guests[0], other, macOf(t, b.guests[1]))
		wantNeighbour(t, b.guests[0], b.farAt[v], "02:74:73:74:75:6e")
	}
	// Beside multicast, such as the guests' reports of groups.
	if passed := b.w.Counters().Out.Packets - before.Out.Packets; passed >= 20 {
		t.Errorf("%d packets of what is on the bridge reached the tunnel", passed)
	}
}

// pings checks that a host reaches an address. The first packets may wait for a
// handshake, or for the second time that somebody asks who has it, and then not all of
// them have room.
func pings(t *testing.T, from *rig.Host, to netip.Addr) {
	t.Helper()
	from.Run(t, "ping", "-n", "-c", "5", "-i", "0.2", "-W", "20", to.String()) // fails if none is answered
	out := from.Run(t, "ping", "-n", "-c", "10", "-i", "0.01", "-W", "20", to.String())
	if !strings.Contains(out, " 0% packet loss") {
		t.Error(out)
	}
}

// movesTCP has iperf3 move data from one host to another, and back.
func movesTCP(t *testing.T, from, to *rig.Host, at netip.Addr) {
	t.Helper()
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Skipf("needs iperf3: %v", err)
	}
	server := exec.CommandContext(t.Context(), "iperf3", "-s", "-B", at.String())
	if err := to.NS.Start(server); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
	}()
	for _, args := range [][]string{{}, {"-R"}} {
		args = append([]string{"-c", at.String(), "-n", "3M"}, args...)
		var err error
		for range 100 { // until the server listens
			var out []byte
			if out, err = from.NS.Exec(t.Context(), "iperf3", args...); err == nil {
				if !strings.Contains(string(out), "receiver") {
					t.Errorf("%s", out)
				}
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// macOf returns the MAC address of a guest.
func macOf(t *testing.T, g *guest) string {
	t.Helper()
	fields := strings.Fields(g.Run(t, "ip", "-o", "link", "show", "dev", "eth0"))
	for i, f := range fields {
		if f == "link/ether" {
			return fields[i+1]
		}
	}
	t.Fatalf("no MAC address in %v", fields)
	return ""
}

// wantNeighbour checks whom a guest takes for the owner of an address.
func wantNeighbour(t *testing.T, g *guest, a netip.Addr, mac string) {
	t.Helper()
	if out := g.Run(t, "ip", "neigh", "show", a.String(), "dev", "eth0"); !strings.Contains(out, mac) {
		t.Errorf("%v is taken for %q, want %s", a, out, mac)
	}
}
