package hostnet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tstun/tunnel/internal/hostnet"
)

// TestReload goes from one kind of tunnel to each other kind.
func TestReload(t *testing.T) {
	s := newScene(t).withTUN()
	before := s.snapshot()
	only4 := full()
	only4.Routes, only4.FwMark = only4.Routes[:1], 99
	moved := full()
	moved.Addresses = prefixes("10.1.0.2/24 fd01::1/128")
	configs := []hostnet.Config{split(), full(), only4, moved}
	want := make([]string, len(configs))
	for i, c := range configs {
		u := s.take(ifname)
		if _, err := u.set(c); err != nil {
			t.Fatal(err)
		}
		want[i] = s.snapshot()
		u.close()
	}
	u := s.take(ifname)
	step := func(i int) {
		if _, err := u.set(configs[i]); err != nil {
			t.Fatalf("to %d: %v", i, err)
		}
		s.sameAs(want[i], fmt.Sprintf("reloaded to %d, compared with it alone,", i))
	}
	for i := range configs {
		for j := i + 1; j < len(configs); j++ {
			step(i)
			step(j)
		}
		step(i)
	}
	u.close()
	s.sameAs(before, "after Close")
}

// TestMendsWhatWasTaken takes away what Set made, piece by piece.
func TestMendsWhatWasTaken(t *testing.T) {
	s := newScene(t).withTUN()
	u := s.take(ifname)
	c := full()
	c.Routes = append(c.Routes, prefixes("10.8.0.0/16 fd08::/48")...)
	u.mustSet(c)
	want := s.snapshot()
	for _, harm := range []string{
		"nft flush ruleset", "nft flush chain inet tstun-tstun0 strays", "ip rule del priority 32765", "ip -6 rule del priority 32764", "ip addr flush dev tstun0",
		"ip link set tstun0 down", "ip route flush table 51820", "ip -6 route flush table 51820", "ip link set tstun0 mtu 1200",
		"ip route del 10.8.0.0/16", "sysctl -q net.ipv4.conf.all.src_valid_mark=0",
	} {
		f := strings.Fields(harm)
		s.run(f[0], f[1:]...)
		u.mustSet(c)
		s.sameAs(want, "after "+harm+" and Set")
	}
}

// TestTwoTunnels wants each of two full tunnels to have what it needs, and the
// last one to restore what they share.
func TestTwoTunnels(t *testing.T) {
	s := newScene(t).withTUN()
	s.ip("tuntap add dev tstun1 mode tun")
	s.ip("link set tstun1 up")
	s.ip("link set tstun1 down")
	before := s.snapshot()
	u, v := s.take(ifname), s.take("tstun1")
	other := full()
	other.Addresses = prefixes("10.9.0.1/24")
	u.mustSet(full())
	alone := s.snapshot()
	v.mustSet(other)
	if m, n := u.mark(full()), v.mark(other); m == n {
		t.Errorf("both have mark %d", m)
	}
	v.close()
	s.sameAs(alone, "after the second one's Close")
	v = s.take("tstun1")
	v.mustSet(other)
	s.ip("link set tstun1 down") // its routes go, its rules must not
	u.close()
	s.has("rule", "suppress_prefixlength 0 proto 151")
	s.run("sh", "-c", "[ $(cat /proc/sys/net/ipv4/conf/all/src_valid_mark) = 1 ]")
	v.close()
	s.sameAs(before, "after both Closes")
}

// TestErrors wants each error to name what it was about, and what to do.
func TestErrors(t *testing.T) {
	s := newScene(t)
	u := s.take(ifname)
	if _, err := u.set(full()); err == nil || !strings.Contains(err.Error(), "create the device first") {
		t.Errorf("without an interface: %v", err)
	}
	s.withTUN()
	before := s.snapshot()
	s.ip("route add 10.8.0.0/16 dev eth0")
	c := split()
	c.Routes = prefixes("10.8.0.0/16")
	if _, err := u.set(c); err == nil || !strings.Contains(err.Error(), "set tstun0: add route 10.8.0.0/16 in table main: somebody else's is there: remove it (ip route show 10.8.0.0/16 table 254)") {
		t.Errorf("a route that is there: %v", err)
	}
	err := s.host.Do(func() error {
		_, err := hostnet.New(ifname, s.dir, u.logf)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "another process has charge of it") {
		t.Errorf("a second Host: %v", err)
	}
	u.close()
	s.ip("route del 10.8.0.0/16")
	s.sameAs(before, "after Close")
	path := filepath.Join(s.dir, ifname+".journal")
	if err := os.WriteFile(path, []byte("{}\n{\"priority\":-3}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = s.host.Do(func() error {
		_, err := hostnet.New(ifname, s.dir, u.logf)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), path+": line 2: priority -3") {
		t.Errorf("a damaged journal: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutRights wants to hear which right is missing.
func TestWithoutRights(t *testing.T) {
	s := newScene(t).withTUN()
	const script = `HOSTNET_CHILD=$WHOLE setpriv --bounding-set=-net_admin "$HOSTNET_PROGRAM" 2>&1 || true`
	if out := s.live(script, nil, full()); !strings.HasPrefix(out, "hostnet: take charge of tstun0: ") || !strings.Contains(out, "operation not permitted: run as root, or with CAP_NET_ADMIN\n") {
		t.Error(out)
	}
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 0 {
		t.Errorf("%d files are left: %v", len(entries), err)
	}
}

// TestReadOnlySysctl has a /proc/sys that cannot be written, as containers have.
func TestReadOnlySysctl(t *testing.T) {
	s := newScene(t).withTUN()
	const script = "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; live"
	if out := s.live(script, nil, full()); strings.Contains(out, "warning") {
		t.Errorf("nobody tests sources:\n%s", out)
	}
	s.run("sysctl", "-q", "net.ipv4.conf.eth0.rp_filter=1")
	before := s.snapshot()
	const want = "warning reverse-path: net.ipv4.conf.all.src_valid_mark cannot be set to 1 ("
	if out := s.live(script, nil, full()); !strings.Contains(out, want) || !strings.Contains(out, "rp_filter is strict on eth0") {
		t.Errorf("want %q in:\n%s", want, out)
	}
	s.run("sysctl", "-q", "net.ipv4.conf.all.src_valid_mark=1")
	if out := s.live(script, nil, full()); strings.Contains(out, "warning") {
		t.Errorf("it is set already:\n%s", out)
	}
	s.run("sysctl", "-q", "net.ipv4.conf.all.src_valid_mark=0")
	s.sameAs(before, "after Close")
}
