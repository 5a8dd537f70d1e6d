package confine_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"

	"tstun/internal/netns"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

// netAdmin is CAP_NET_ADMIN, linux/capability.h, as proc_pid_status(5) has it.
const netAdmin = 1 << 12

// caps are the lines of proc_pid_status(5) for a process with a set.
func caps(set int) []string {
	lines := []string{"NoNewPrivs:\t1", "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000"}
	for _, name := range []string{"CapPrm", "CapEff"} {
		lines = append(lines, fmt.Sprintf("%s:\t%016x", name, set))
	}
	return lines
}

// withLandlock skips where the kernel has no landlock of that version.
func withLandlock(t *testing.T, version int) {
	t.Helper()
	if abi, err := ll.LandlockGetABIVersion(); err != nil || abi < version {
		t.Skipf("needs landlock %d, and this kernel has %d (%v)", version, abi, err)
	}
}

// recorder is a resolvectl that writes down how it is called, where the state
// is.
const recorder = "#!/bin/sh\necho \"$@\" >>\"$STATE/calls\"\nfor d in /proc/self/fd; do :; done\n"

// resolved makes that resolvectl, and returns the variables that name it.
func resolved(t *testing.T, l life) []string {
	t.Helper()
	bin := filepath.Join(filepath.Dir(l.StateDir), "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "resolvectl"), []byte(recorder), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"STATE=" + l.StateDir, "PATH=" + bin + ":/usr/bin:/bin"}
}

// network returns what a namespace has, but for what comes and goes by itself.
func network(t *testing.T, ns *netns.NS) string {
	t.Helper()
	out, err := ns.Exec(t.Context(), "sh", "-c", `ip -o link; ip -o addr; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; nft list ruleset; cat /proc/sys/net/ipv4/conf/all/src_valid_mark`)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// In kernel mode what a tunnel did is undone, and its files are read again. All
// else is out of reach.
func TestKernel(t *testing.T) {
	ns := netns.New(t)
	before := network(t, ns)
	l := scene(t, "DNS = 10.7.0.53, corp.example", 0)
	l.Mode = tunnel.ModeKernel
	c := start(t, ns, l, 0, resolved(t, l)...)
	if during := network(t, ns); !strings.Contains(during, "table inet tstun-tstun7") || !strings.Contains(during, "lookup 51820") || !strings.HasSuffix(during, "1\n") {
		t.Fatalf("no full tunnel: %s", during)
	}
	c.wantStatus(append(caps(netAdmin), fmt.Sprintf("CapBnd:\t%016x", netAdmin))...)
	c.can("reload")
	write(t, l.Policy, policyOf(2))
	write(t, l.File, readFile(t, l.File))
	c.can("reload")
	t.Run("landlock", func(t *testing.T) { c.wantConfined(t, l) })
	c.can("run", "resolvectl", "query")
	c.can("close")
	if after := network(t, ns); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if calls := readFile(t, filepath.Join(l.StateDir, "calls")); !strings.HasSuffix(calls, "query\nrevert tstun7\n") {
		t.Errorf("resolvectl was called:\n%s", calls)
	}
	left, err := filepath.Glob(filepath.Join(l.StateDir, "*.journal"))
	if err != nil || len(left) > 0 {
		t.Errorf("journals left: %v, %v", left, err)
	}
	if _, err := os.Stat("/var/run/wireguard/tstun7.sock"); err == nil {
		t.Error("the UAPI socket is left")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantConfined wants files out of reach that the scene has, and the system.
func (c *child) wantConfined(t *testing.T, l life) {
	withLandlock(t, 1)
	c.t = t
	home := filepath.Join(filepath.Dir(l.StateDir), "home")
	c.cannot("read", filepath.Join(home, "secret"))
	c.cannot("write", filepath.Join(home, "new"))
	c.cannot("read", "/etc/passwd")
	c.cannot("read", "/etc/shadow")
	c.cannot("write", filepath.Join(filepath.Dir(l.File), "new"))
	c.cannot("write", "/proc/sys/net/ipv4/ip_forward")
	c.cannot("write", "/etc/cron.d/x")
	withLandlock(t, 4)
	c.cannot("listen", "127.0.0.1:0")
	if !l.Dials {
		c.cannot("dial", "127.0.0.1:1")
	}
}

// The files of a reload, and the state, may be another user's.
func TestFilesOfAnotherUser(t *testing.T) {
	ns := netns.New(t)
	l := scene(t, "", 65534)
	l.Mode = tunnel.ModeKernel
	before := network(t, ns)
	c := start(t, ns, l, 0)
	c.wantStatus(caps(netAdmin | 1<<1 | 1<<2)...) // CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
	write(t, l.Policy, policyOf(2))
	if err := os.Chown(l.Policy, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	c.can("reload")
	t.Run("landlock", func(t *testing.T) { c.wantConfined(t, l) })
	c.can("close")
	if after := network(t, ns); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// systemd replaces the directory of its credentials as a whole.
func TestCredentials(t *testing.T) {
	l := scene(t, "", os.Getuid())
	l.Mode = tunnel.ModeUserspace
	dir := filepath.Dir(l.File)
	c := start(t, nil, l, os.Getuid(), "CREDENTIALS_DIRECTORY="+dir)
	if err := os.CopyFS(dir+".new", os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(dir, dir+".old"), os.Rename(dir+".new", dir)); err != nil {
		t.Fatal(err)
	}
	c.can("reload")
	c.can("close")
}

// A port below 1024 can be opened again.
func TestLowPort(t *testing.T) {
	ns := netns.New(t)
	l := scene(t, "ListenPort = 443", 0)
	l.Mode = tunnel.ModeKernel
	c := start(t, ns, l, 0)
	c.wantStatus(caps(netAdmin | 1<<10)...) // CAP_NET_BIND_SERVICE
	for _, state := range []string{"down", "up"} {
		if out, err := ns.Exec(t.Context(), "ip", "link", "set", "tstun7", state); err != nil {
			t.Fatal(err, string(out))
		}
	}
	c.can("close")
}

// In userspace an ordinary user's process keeps no capability, and its proxies
// connect.
func TestUserspace(t *testing.T) {
	uid := os.Getuid()
	if uid == 0 {
		uid = 65534
	}
	for _, dials := range []bool{true, false} {
		t.Run(fmt.Sprintf("dials %v", dials), func(t *testing.T) {
			l := scene(t, "", uid)
			l.Mode, l.Dials = tunnel.ModeUserspace, dials
			c := start(t, nil, l, uid)
			c.wantStatus(caps(0)...)
			c.can("reload")
			write(t, l.Policy, policyOf(2))
			if os.Getuid() == 0 {
				if err := os.Chown(l.Policy, uid, uid); err != nil {
					t.Fatal(err)
				}
			}
			c.can("reload")
			c.can("lookup", "https")
			if got := c.do("dial", "127.0.0.1:1"); dials && !strings.Contains(got, "connection refused") {
				t.Errorf("dial: %s", got)
			}
			c.wantConfined(t, l)
			c.cannot("run", "/bin/true")
			withLandlock(t, 6)
			c.cannot("kill", fmt.Sprint(os.Getpid()))
			c.can("close")
		})
	}
}

// Hooks may do anything, and so does their process.
func TestHooks(t *testing.T) {
	ns := netns.New(t)
	l := scene(t, "PostDown = true", 0)
	l.Mode, l.Hooks = tunnel.ModeKernel, wgquick.AllowHooks
	c := start(t, ns, l, 0)
	if !strings.HasPrefix(c.says, "not confined: the file's hooks may do anything") {
		t.Error(c.says)
	}
	own := strings.Split(readFile(t, "/proc/self/status"), "\n")
	c.wantStatus(own[slices.IndexFunc(own, func(s string) bool { return strings.HasPrefix(s, "CapEff:") })])
	c.can("read", "/etc/passwd")
	c.can("close")
}
