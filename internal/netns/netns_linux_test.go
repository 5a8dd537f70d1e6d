package netns_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"tstun/internal/netns"
)

// descriptors counts the open descriptors of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// namespaces counts the network namespaces that threads and descriptors of
// this process are in or hold.
func namespaces(t *testing.T) int {
	t.Helper()
	seen := map[string]bool{}
	for _, dir := range []string{"/proc/self/fd", "/proc/self/task"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			path := dir + "/" + e.Name()
			if strings.HasSuffix(dir, "task") {
				path += "/ns/net"
			}
			if target, err := os.Readlink(path); err == nil && strings.HasPrefix(target, "net:") {
				seen[target] = true
			}
		}
	}
	return len(seen)
}

// current names the network namespace of the calling thread.
func current(t *testing.T) string {
	t.Helper()
	target, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestNothingIsLeftBehind(t *testing.T) {
	netns.New(t) // skips where the right is missing
	wantFDs, wantNS := descriptors(t), namespaces(t)
	for range 50 {
		a, err := netns.Create()
		if err != nil {
			t.Fatal(err)
		}
		b, err := netns.Create()
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Connect("a0", b, "b0"); err != nil {
			t.Fatal(err)
		}
		if err := a.Do(func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		for _, n := range []*netns.NS{a, b, a} {
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := descriptors(t); got != wantFDs {
		t.Errorf("%d descriptors, had %d", got, wantFDs)
	}
	if got := namespaces(t); got != wantNS {
		t.Errorf("%d network namespaces, had %d", got, wantNS)
	}
}

func TestDo(t *testing.T) {
	n := netns.New(t)
	outside := current(t)
	broken := errors.New("broken")
	inside := ""
	if err := n.Do(func() error { inside = current(t); return broken }); !errors.Is(err, broken) {
		t.Errorf("Do returned %v", err)
	}
	if inside == outside || inside == "" {
		t.Errorf("f ran in %s, the caller's namespace", inside)
	}
	if got := current(t); got != outside {
		t.Errorf("back in %s, was in %s", got, outside)
	}
	again := ""
	if err := n.Do(func() error { again = current(t); return nil }); err != nil || again != inside {
		t.Errorf("second Do ran in %s: %v", again, err)
	}
}

// A test that fails inside Do unwinds through it.
func TestDoGoexit(t *testing.T) {
	n := netns.New(t)
	outside := current(t)
	back := make(chan string)
	go func() {
		defer func() { back <- current(t) }()
		n.Do(func() error { runtime.Goexit(); return nil })
	}()
	if got := <-back; got != outside {
		t.Errorf("after Goexit in %s, was in %s", got, outside)
	}
}

func TestClosed(t *testing.T) {
	n := netns.New(t)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	called := false
	if err := n.Do(func() error { called = true; return nil }); !errors.Is(err, os.ErrClosed) || called {
		t.Errorf("Do after Close: %v, called %v", err, called)
	}
	if err := n.LinkUp("lo"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("LinkUp after Close: %v", err)
	}
	if err := netns.New(t).Connect("a0", n, "b0"); err == nil {
		t.Error("connected to a closed namespace")
	}
}

func TestConnectedPing(t *testing.T) {
	a, b := netns.New(t), netns.New(t)
	if err := a.Connect("a0", b, "b0"); err != nil {
		t.Fatal(err)
	}
	steps := []error{
		a.AddAddr("a0", prefix("10.9.0.1/24")), b.AddAddr("b0", prefix("10.9.0.2/24")),
		a.AddAddr("a0", prefix("fd09::1/64")), b.AddAddr("b0", prefix("fd09::2/64")),
		b.AddAddr("lo", prefix("10.10.0.1/32")), a.AddRoute("a0", prefix("10.10.0.0/24")),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("ping"); err != nil {
		t.Skip("no ping program")
	}
	for _, to := range []string{"10.9.0.2", "fd09::2", "10.10.0.1"} {
		if out, err := a.Exec(t.Context(), "ping", "-c1", "-W5", to); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	links, err := a.Links()
	if err != nil || !slices.Equal(links, []string{"lo", "a0"}) {
		t.Errorf("links %v, %v", links, err)
	}
	if err := a.LinkDown("a0"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Exec(t.Context(), "ping", "-c1", "-W1", "10.9.0.2"); err == nil {
		t.Error("ping through a link that is down")
	}
}

func TestSocketStays(t *testing.T) {
	n := netns.New(t)
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("reached a socket of another namespace")
	}
	if err := n.Do(func() error {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			c.Close()
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestErrorsNameTheOperation(t *testing.T) {
	n := netns.New(t)
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"up", n.LinkUp("nope"), "link up nope"},
		{"address", n.AddAddr("nope", prefix("10.0.0.1/8")), "add address to nope"},
		{"route", n.AddRoute("nope", prefix("10.0.0.1/8")), "add route to nope"},
		{"exec", execError(n, "no-such-program"), "no-such-program"},
		{"exit status", execError(n, "sh", "-c", "echo because >&2; exit 3"), "because"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", tt.err, tt.want)
			}
		})
	}
}

func execError(n *netns.NS, name string, args ...string) error {
	_, err := n.Exec(context.Background(), name, args...)
	return err
}

// What Connect connects is as it stays: the kernel adds nothing later. Without IPv6
// there is nothing to wait for.
func TestConnectIsComplete(t *testing.T) {
	a, b := netns.New(t), netns.New(t)
	if err := b.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	}); err != nil {
		t.Skip("needs IPv6:", err)
	}
	if err := a.Connect("a0", b, "b0"); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[*netns.NS]bool{a: true, b: false} {
		out, err := n.Exec(t.Context(), "ip", "-6", "route", "show", "table", "local")
		if got := strings.Contains(string(out), "ff00::/8"); err != nil || got != want {
			t.Errorf("multicast route: %v, want %v (%v)\n%s", got, want, err, out)
		}
	}
}
