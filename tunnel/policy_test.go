package tunnel_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/key"
	"tstun/policy"
	"tstun/tunnel"
)

// allow returns a policy file that lets peers reach one TCP port.
func allow(port int) string {
	return fmt.Sprintf(`{"local": ["10.9.0.1", "fd09::1"], "accept": [{"src": "*", "proto": "tcp", "dst": "10.9.0.1:%d"}], "tests": []}`, port)
}

// replace puts a file in the place of another, as editors do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until the tunnel's policy is as wanted.
func eventually(t *testing.T, tun *tunnel.Tunnel, what string, is func(tunnel.PolicyStatus) bool) (s tunnel.PolicyStatus) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s = tun.Status().Policy; is(s) {
			return s
		}
	}
	t.Fatalf("never: %s: %+v", what, s)
	return s
}

func accepts(tun *tunnel.Tunnel, port uint16) bool {
	f := policy.Flow{Proto: ipproto.TCP, Src: netip.MustParseAddr("10.9.0.2"), Dst: netip.AddrPortFrom(netip.MustParseAddr("10.9.0.1"), port)}
	return !tun.ExplainNew(filter.Inbound, f).Response.IsDrop()
}

// The file in force is the last good one, whether it is watched or read on
// demand.
func TestPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.json")
	replace(t, path, allow(22))
	c := userspace(key.NewPrivate(), key.NewPrivate())
	c.Policy = path
	var l logged
	c.Logf = l.logf
	tun := start(t, c)
	first := tun.Status().Policy
	if first.Rules != 1 || len(first.Hash) != 64 || first.Error != "" || !accepts(tun, 22) || accepts(tun, 80) {
		t.Errorf("at first: %+v", first)
	}

	replace(t, path, allow(80))
	second := eventually(t, tun, "the new file", func(s tunnel.PolicyStatus) bool { return s.Hash != first.Hash })
	if accepts(tun, 22) || !accepts(tun, 80) {
		t.Error("the new file is not in force")
	}
	for text, want := range map[string]string{
		`{"local": ["nobody"]}`: "policy.json:1:",
		strings.Replace(allow(443), `"tests": []`, `"tests": [{"src": "10.9.0.2", "accept": "10.9.0.1:80"}]`, 1): "10.9.0.1:80",
	} {
		replace(t, path, text)
		s := eventually(t, tun, want, func(s tunnel.PolicyStatus) bool { return strings.Contains(s.Error, want) })
		if s.Hash != second.Hash || !accepts(tun, 80) || accepts(tun, 443) {
			t.Errorf("a bad file came into force: %+v", s)
		}
	}
	if err := tun.ReloadPolicy(); err == nil {
		t.Error("ReloadPolicy took a bad file")
	}
	replace(t, path, allow(22))
	if err := tun.ReloadPolicy(); err != nil || !accepts(tun, 22) {
		t.Errorf("ReloadPolicy: %v", err)
	}
	if s := tun.Status().Policy; s.Error != "" || s.Hash != first.Hash {
		t.Errorf("in the end: %+v", s)
	}
	for _, want := range []string{"policy refused: ", path + " is in force: 1 rule"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("no line has %q:\n%s", want, &l)
		}
	}
}

// A tunnel does not start with a policy that is bad, or start to watch nothing.
func TestBadPolicyAtStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.json")
	c := userspace(key.NewPrivate(), key.NewPrivate())
	for _, text := range []string{"", "{", allow(0)} {
		if text != "" {
			replace(t, path, text)
		}
		c.Policy = path
		if _, err := tunnel.Start(within(t), c); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
	}
	c.Policy = ""
	if tun := start(t, c); tun.ReloadPolicy() == nil {
		t.Error("ReloadPolicy without a policy")
	} else if !accepts(tun, 1) {
		t.Error("without a policy not all is accepted")
	}
}

// Without an address of the tunnel among the local ones, a line says so.
func TestPolicyOfAnotherHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.json")
	replace(t, path, `{"local": ["10.9.0.1"], "accept": []}`)
	c := userspace(key.NewPrivate(), key.NewPrivate())
	var l logged
	c.Policy, c.Logf = path, l.logf
	start(t, c)
	if s := l.String(); !strings.Contains(s, "does not call fd09::1 local") || strings.Contains(s, "call 10.9.0.1") {
		t.Errorf("lines:\n%s", s)
	}
}
