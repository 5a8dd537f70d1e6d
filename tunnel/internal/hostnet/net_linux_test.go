package hostnet_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tstun/internal/netns"
	"tstun/tunnel/internal/hostnet"
)

// scene is a host with a network card whose other end a neighbour has, in
// namespaces of their own: 192.0.2.1 and 2001:db8::1 on eth0, with default
// routes to the neighbour's .2 and ::2. Behind it is 198.51.100.0/24. Tests with
// scenes run side by side.
type scene struct {
	t    *testing.T
	host *netns.NS
	peer *netns.NS
	dir  string // of journals
}

const ifname = "tstun0"

func newScene(t *testing.T) *scene {
	t.Helper()
	t.Parallel()
	s := &scene{t, netns.New(t), netns.New(t), filepath.Join(t.TempDir(), "run")}
	for _, ns := range []*netns.NS{s.host, s.peer} {
		if err := ns.Do(quietIPv6); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.host.Connect("eth0", s.peer, "eth0"); err != nil {
		t.Fatal(err)
	}
	for ns, a := range map[*netns.NS][]string{s.host: {"192.0.2.1/24", "2001:db8::1/64"}, s.peer: {"192.0.2.2/24", "2001:db8::2/64", "198.51.100.7/24"}} {
		for _, a := range a {
			if err := ns.AddAddr("eth0", netip.MustParsePrefix(a)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.ip("route add default via 192.0.2.2")
	s.ip("-6 route add default via 2001:db8::2")
	return s
}

// quietIPv6 keeps the kernel from giving interfaces addresses of their own, and
// from asking whether an address is taken, both of which take time.
func quietIPv6() error {
	const conf = "/proc/sys/net/ipv6/conf/default/"
	if err := os.WriteFile(conf+"addr_gen_mode", []byte("1"), 0); err != nil { // none
		return err
	}
	return os.WriteFile(conf+"accept_dad", []byte("0"), 0)
}

// withTUN makes a persistent TUN in the host. It was up once, so that it has
// its queueing discipline, which the kernel never takes back.
func (s *scene) withTUN() *scene {
	s.t.Helper()
	s.ip("tuntap add dev " + ifname + " mode tun")
	s.ip("link set " + ifname + " up")
	s.ip("link set " + ifname + " down")
	return s
}

// run runs a program in the host.
func (s *scene) run(name string, args ...string) string {
	s.t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		s.t.Skipf("needs %s: %v", name, err)
	}
	out, err := s.host.Exec(s.t.Context(), name, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}

// ip runs ip(8) in the host.
func (s *scene) ip(args string) string {
	s.t.Helper()
	return s.run("ip", strings.Fields(args)...)
}

// do runs f in the host.
func (s *scene) do(f func() error) {
	s.t.Helper()
	if err := s.host.Do(f); err != nil {
		s.t.Fatal(err)
	}
}

// snapshot is all that hostnet may change, as other programs see it.
func (s *scene) snapshot() string {
	s.t.Helper()
	const lists = "ip -o -batch - <<E\nroute show table all\nrule\naddr\nlink\nE\nip -6 rule | sed 's/^/IPv6 /'; nft -a list ruleset"
	var b strings.Builder
	b.WriteString(s.run("sh", "-c", lists))
	s.do(func() error {
		for _, name := range []string{"src_valid_mark", "rp_filter", "forwarding"} {
			paths, _ := filepath.Glob("/proc/sys/net/ipv[46]/conf/*/" + name)
			for _, p := range paths {
				text, err := os.ReadFile(p)
				fmt.Fprintf(&b, "%s %s%v\n", p, text, err)
			}
		}
		return nil
	})
	return b.String()
}

// sameAs wants the host to be as a snapshot of before has it.
func (s *scene) sameAs(before, when string) {
	s.t.Helper()
	if d := difference(settled(before), settled(s.snapshot())); d != "" {
		s.t.Fatalf("%s the host is not as it was:\n%s", when, d)
	}
}

// difference lists the lines that only one of two texts has.
func difference(a, b string) string {
	var out strings.Builder
	only := func(sign, x, y string) {
		there := make(map[string]bool)
		for line := range strings.Lines(y) {
			there[line] = true
		}
		for line := range strings.Lines(x) {
			if !there[line] {
				out.WriteString(sign + line)
			}
		}
	}
	only("- ", a, b)
	only("+ ", b, a)
	return out.String()
}

// tunnel is a Host in a scene, with the changes that it logged.
type tunnel struct {
	*scene
	h    *hostnet.Host
	mu   sync.Mutex // guards log
	log  []string
	name string
}

func (s *scene) take(name string) *tunnel {
	s.t.Helper()
	t := &tunnel{scene: s, name: name}
	s.do(func() (err error) {
		t.h, err = hostnet.New(name, s.dir, t.logf)
		return err
	})
	s.t.Cleanup(func() { s.host.Do(t.h.Close) })
	return t
}

func (u *tunnel) logf(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.log = append(u.log, strings.TrimPrefix(fmt.Sprintf(format, args...), "hostnet: "+u.name+": "))
}

// set is Set, after which the log has its changes alone.
func (u *tunnel) set(c hostnet.Config) (warnings []hostnet.Warning, err error) {
	u.t.Helper()
	u.log = nil
	u.host.Do(func() error {
		warnings, err = u.h.Set(c)
		return nil
	})
	return warnings, err
}

// mustSet is set without an error, and with warnings of these kinds.
func (u *tunnel) mustSet(c hostnet.Config, kinds ...hostnet.WarningKind) []hostnet.Warning {
	u.t.Helper()
	warnings, err := u.set(c)
	if err != nil {
		u.t.Fatal(err)
	}
	var got []hostnet.WarningKind
	for _, w := range warnings {
		got = append(got, w.Kind)
	}
	if fmt.Sprint(got) != fmt.Sprint(kinds) {
		u.t.Fatalf("warnings %q, want %q", warnings, kinds)
	}
	return warnings
}

func (u *tunnel) close() {
	u.t.Helper()
	u.do(u.h.Close)
}

// has wants each line in what a command of ip(8) prints.
func (s *scene) has(args string, lines ...string) {
	s.t.Helper()
	out := s.ip(args)
	for _, line := range lines {
		if !strings.Contains(out, line) {
			s.t.Errorf("ip %s has no %q:\n%s", args, line, out)
		}
	}
}

// hasNot wants none of the lines.
func (s *scene) hasNot(args string, lines ...string) {
	s.t.Helper()
	out := s.ip(args)
	for _, line := range lines {
		if strings.Contains(out, line) {
			s.t.Errorf("ip %s has %q:\n%s", args, line, out)
		}
	}
}

func prefixes(s string) (all []netip.Prefix) {
	for _, p := range strings.Fields(s) {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func endpoints(s string) (all []netip.AddrPort) {
	for _, e := range strings.Fields(s) {
		all = append(all, netip.MustParseAddrPort(e))
	}
	return all
}
