package tunnel_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tstun/key"
	"tstun/netstack"
	"tstun/tundev"
	"tstun/tunnel"
)

// codes returns the codes of findings, each of which must be whole.
func codes(t *testing.T, found []tundev.Finding) string {
	t.Helper()
	var all []string
	for _, f := range found {
		if f.Code == "" || f.Cause == "" || f.Advice == "" || f.Evidence == "" {
			t.Errorf("finding %+v", f)
		}
		all = append(all, f.Code)
	}
	return strings.Join(all, " ")
}

// briefly bounds the wait for peers that will not answer.
func briefly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// soon asks again until the codes are as wanted: messages are on their way.
func soon(t *testing.T, tun *tunnel.Tunnel, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = codes(t, tun.Diagnose(within(t))); got == want {
			return
		}
	}
	t.Errorf("found %q, want %q", got, want)
}

// linked returns the Configs of two nodes; the second knows where the first is.
func linked(t *testing.T) (a, b tunnel.Config) {
	ka, kb := key.NewPrivate(), key.NewPrivate()
	a, b = userspace(ka, kb), userspace(kb, ka)
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	a.ListenPort = c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	c.Close() // and hope that nobody takes it
	b.Addresses = prefixes("10.9.0.2/24")
	b.Peers[0].AllowedIPs = prefixes("10.9.0.1/32")
	b.Peers[0].Endpoint = fmt.Sprintf("127.0.0.1:%d", a.ListenPort)
	return a, b
}

func TestDiagnoseWell(t *testing.T) {
	a, b, _ := pair(t, new(logged))
	for _, tun := range []*tunnel.Tunnel{a, b} {
		if found := tun.Diagnose(within(t)); len(found) > 0 {
			// b's DNS is reached through a.
			t.Errorf("found %v", found)
		}
	}
}

// silent returns an endpoint at which nobody answers.
func silent(t *testing.T) string {
	l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.LocalAddr().String()
}

// Each condition is made, and found where it can be seen.
func TestDiagnoseHandshakes(t *testing.T) {
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		_, b := linked(t)
		soon(t, start(t, b), "endpoint-refused")
	})
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		_, b := linked(t)
		b.Peers[0].Endpoint = silent(t)
		soon(t, start(t, b), "no-handshake")
	})
	for want, change := range map[string]func(a, b *tunnel.Config){
		"unknown-peer":  func(a, _ *tunnel.Config) { a.Peers[0].PublicKey = key.NewPrivate().Public() },
		"wrong-own-key": func(_, b *tunnel.Config) { b.Peers[0].PublicKey = key.NewPrivate().Public() },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			a, b := linked(t)
			change(&a, &b)
			ta, tb := start(t, a), start(t, b)
			soon(t, tb, "no-handshake")
			soon(t, ta, want)
		})
	}
	t.Run("preshared-key", func(t *testing.T) {
		t.Parallel()
		a, b := linked(t)
		b.Peers[0].PresharedKey = key.NewPreshared()
		start(t, a)
		soon(t, start(t, b), "no-handshake preshared-key")
	})
}

func TestDiagnoseDisallowedSource(t *testing.T) {
	a, b := linked(t)
	b.Addresses = prefixes("10.9.0.7/24")
	b.Peers[0].Required = true
	ta, tb := start(t, a), start(t, b)
	c, err := tb.DialContext(within(t), "udp", "10.9.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	soon(t, ta, "disallowed-source")
}

// changing is a resolver whose one answer can be changed.
type changing struct {
	netstack.Lookup
	answer func() ([]netip.Addr, error)
}

func (c *changing) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return c.answer()
}

func TestDiagnoseNames(t *testing.T) {
	_, b := linked(t)
	addrs, lookupErr := []netip.Addr{netip.MustParseAddr("127.0.0.1")}, error(nil)
	b.Resolver = &changing{answer: func() ([]netip.Addr, error) { return addrs, lookupErr }}
	b.Peers[0].Endpoint = strings.Replace(b.Peers[0].Endpoint, "127.0.0.1", "a.test", 1)
	tun := start(t, b)
	addrs = []netip.Addr{netip.MustParseAddr("127.0.0.2")}
	if got := codes(t, tun.Diagnose(briefly(t))); !strings.HasPrefix(got, "endpoint-moved") {
		t.Errorf("moved: %s", got)
	}
	lookupErr = &net.DNSError{Err: "no such host", Name: "a.test", IsNotFound: true}
	if got := codes(t, tun.Diagnose(briefly(t))); !strings.HasPrefix(got, "endpoint-name") {
		t.Errorf("gone: %s", got)
	}
	found, err := tunnel.Diagnose(within(t), b)
	if got := codes(t, found); err != nil || got != "endpoint-name" || !strings.Contains(found[0].Evidence, "a.test") {
		t.Errorf("of a Config: %s, %v", got, err)
	}
}

func TestDiagnosePolicyAndDrops(t *testing.T) {
	a, b := linked(t)
	path := filepath.Join(t.TempDir(), "policy.json")
	replace(t, path, allow(22))
	a.Policy = path
	b.Peers[0].Required = true
	ta, tb := start(t, a), start(t, b)
	c, err := tb.DialContext(within(t), "udp", "10.9.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 20 {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	soon(t, ta, "drops-no-rule")
	replace(t, path, "{")
	_ = ta.ReloadPolicy()
	soon(t, ta, "policy-refused drops-no-rule")
	_ = tb
}

func TestDiagnoseNameServers(t *testing.T) {
	c := userspace(key.NewPrivate(), key.NewPrivate())
	c.DNS = []netip.Addr{netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("192.0.2.53")}
	found := start(t, c).Diagnose(within(t))
	if codes(t, found) != "dns-unreachable" || !strings.Contains(found[0].Evidence, "192.0.2.53") {
		t.Errorf("found %v", found)
	}
}
