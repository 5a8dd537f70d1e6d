package e2e_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/netns"
	"tstun/internal/rig"
)

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

// TestKernelWireGuard: the kernel's own WireGuard, as the other side of ours,
// pings and is pinged, and moves TCP and UDP both ways over both versions of IP;
// what no rule allows it does not reach.
func TestKernelWireGuard(t *testing.T) {
	needKernelWireGuard(t)
	ours, kernel := newEnds(t,
		end{Host: rig.Host{Name: "tstun0"}, addrs: []netip.Addr{host4, host6}},
		end{Host: rig.Host{Name: "wg0"}, addrs: []netip.Addr{peer4, peer6}})
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
	out := from.Run(t, "ping", "-n", "-c", "3", "-i", "0.05", "-W", "20", addr.String())
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
