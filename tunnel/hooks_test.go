package tunnel_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tstun/key"
	"tstun/tunnel"
)

// hooked returns a Config whose hooks write their keys into a file.
func hooked(t *testing.T) (c tunnel.Config, l *logged, ran func() string) {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "ran")
	note := func(key string) []string {
		return []string{"echo " + key + " %i >> " + path, "echo hunter2 > /dev/null"}
	}
	c, l = userspace(key.NewPrivate(), key.NewPrivate()), new(logged)
	c.Name, c.Logf = "wg0", l.logf
	c.Hooks = tunnel.Hooks{PreUp: note("PreUp"), PostUp: note("PostUp"), PreDown: note("PreDown"), PostDown: note("PostDown")}
	return c, l, func() string {
		text, _ := os.ReadFile(path)
		return strings.ReplaceAll(string(text), "\n", ",")
	}
}

func TestHooks(t *testing.T) {
	c, l, ran := hooked(t)
	c.Hooks.PostUp = append(c.Hooks.PostUp, "echo said; echo so >&2")
	c.Hooks.PreDown = append([]string{"exit 3"}, c.Hooks.PreDown...)
	tun, err := tunnel.Start(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	events := tun.Events(within(t))
	if got := ran(); got != "PreUp wg0,PostUp wg0," {
		t.Errorf("after Start: %s", got)
	}
	if err := tun.Reload(within(t), c); err != nil {
		t.Error(err)
	}
	if err := tun.Close(); err == nil || !strings.Contains(err.Error(), "hook PreDown 1: exit status 3") {
		t.Errorf("Close: %v", err)
	}
	if err := tun.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	if got := ran(); got != "PreUp wg0,PostUp wg0,PreDown wg0,PostDown wg0," {
		t.Errorf("after Close: %s", got)
	}
	nextOf(within(t), t, events, tunnel.HookFailed)
	if text := l.String(); !strings.Contains(text, "hook PostUp 3: said\nhook PostUp 3: so\n") || strings.Contains(text, "hunter2") || strings.Contains(text, "the hooks changed") {
		t.Errorf("log:\n%s", text)
	}
}

// As with wg-quick, no hook runs after one of PreUp or PostUp that fails; a
// tunnel that was up goes down with hooks.
func TestHooksFail(t *testing.T) {
	for _, tt := range []struct {
		name, want, ran string
		change          func(c *tunnel.Config)
	}{
		{"PreUp", "hook PreUp 3: exit status 4", "PreUp wg0,", func(c *tunnel.Config) { c.Hooks.PreUp = append(c.Hooks.PreUp, "exit 4") }},
		{"PostUp", "hook PostUp 3: exit status 4", "PreUp wg0,PostUp wg0,", func(c *tunnel.Config) { c.Hooks.PostUp = append(c.Hooks.PostUp, "exit 4", "exit 5") }},
		{"between", "netstack", "PreUp wg0,", func(c *tunnel.Config) { c.MTU = 1000 }},
		{"a peer", "no handshake", "PreUp wg0,PostUp wg0,PreDown wg0,PostDown wg0,", func(c *tunnel.Config) { c.Peers[0].Required = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, ran := hooked(t)
			tt.change(&c)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := tunnel.Start(ctx, c)
			if err == nil || !strings.Contains(err.Error(), tt.want) || ran() != tt.ran {
				t.Errorf("got %v, and ran %s", err, ran())
			}
		})
	}
}

// A hook that hangs ends with Start's context.
func TestHookHangs(t *testing.T) {
	c, _, ran := hooked(t)
	c.Hooks.PreUp = append(c.Hooks.PreUp, "sleep 300")
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	go func() {
		for ran() == "" {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, err := tunnel.Start(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A key may come from a hook, as files without one have it, and a reload of
// such a file lets it stay.
func TestKeyFromHook(t *testing.T) {
	c, _, _ := hooked(t)
	private := c.PrivateKey
	c.PrivateKey = key.Private{}
	tun := start(t, c)
	if s := tun.Status(); !s.PublicKey.IsZero() {
		t.Errorf("key %v", s.PublicKey)
	}
	next := c
	next.PrivateKey = private
	reload(t, tun, next)
	reload(t, tun, c)
	if s := tun.Status(); s.PublicKey != private.Public() {
		t.Errorf("key %v", s.PublicKey)
	}
}
