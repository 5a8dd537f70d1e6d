package tunnel_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tstun/filter"
	"tstun/key"
	"tstun/tunnel"
)

// explain asks about the one flow that src and dst stand for.
func explain(ctx context.Context, t *testing.T, tun *tunnel.Tunnel, src, dst, proto string) tunnel.Explanation {
	t.Helper()
	flows, err := tun.FlowsBetween(src, dst, proto)
	if err != nil || len(flows) != 1 {
		t.Fatalf("%s to %s: %d flows, %v", src, dst, len(flows), err)
	}
	return tun.Explain(ctx, tun.DirectionOf(flows[0]), flows[0])
}

// first returns step and code of what is wrong first, which must be whole, or nothing.
func first(t *testing.T, e tunnel.Explanation) string {
	t.Helper()
	for _, c := range e.Checks {
		if c.Text == "" || c.OK != (c.Code == "") || c.OK != (c.Advice == "") {
			t.Errorf("check %+v", c)
		}
	}
	if c := e.Wrong(); c != nil {
		return string(c.Step) + " " + c.Code
	}
	return ""
}

// firstSoon asks again until what is wrong first is as wanted: messages are on their
// way. It returns that check, or nil if nothing is wrong.
func firstSoon(t *testing.T, tun *tunnel.Tunnel, src, dst, want string) *tunnel.Check {
	t.Helper()
	var e tunnel.Explanation
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if e = explain(briefly(t), t, tun, src, dst, ""); first(t, e) == want {
			return e.Wrong()
		}
	}
	t.Errorf("wrong first: %q, want %q: %+v", first(t, e), want, e)
	return &tunnel.Check{}
}

// What a policy lacks is named first, whatever else is wrong.
func TestExplainRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.hujson")
	replace(t, path, `{
	"hosts": {"web": "10.9.0.1", "anna": "10.9.0.2", "bert": "10.9.0.3", "carl": "10.9.0.4"},
	"groups": {"admins": "bert"},
	"local": "web",
	"accept": [
		{"proto": "tcp", "src": "admins", "dst": "web:22"},
		{"proto": "tcp", "src": "anna", "dst": "web:80"},
	],
}`)
	c := userspace(key.NewPrivate(), key.NewPrivate())
	c.Policy = path
	tun := start(t, c)
	for _, tt := range []struct{ name, src, dst, want, text, advice string }{
		{"a forgotten port", "anna", "web:443", "rules no-rule", "port 443 is not in web:80", path + ":7:3"},
		{"a wrong source group", "carl", "web:22", "rules no-rule", "source 10.9.0.4 is not in admins", path + ":6:3"},
		{"no rule is near", "10.9.0.9", "web:99", "rules no-rule", "No rule", path},
		{"not local", "anna", "10.9.0.9:80", "rules not-local", "not one of this node", "add 10.9.0.9 to local"},
		{"allowed", "anna", "web:80", "handshake no-endpoint", "other is not up", "PersistentKeepalive"},
		{"a peer's name", "other", "web:80", "handshake no-endpoint", "other is not up", "PersistentKeepalive"},
	} {
		e := explain(within(t), t, tun, tt.src, tt.dst, "")
		got := first(t, e)
		if c := e.Wrong(); got != tt.want || !strings.Contains(c.Text, tt.text) || !strings.Contains(c.Advice, tt.advice) || e.Direction != filter.Inbound {
			t.Errorf("%s: %q %+v", tt.name, got, e)
		}
	}
	// A file that is wrong is told of where the rules refuse.
	replace(t, path, "{")
	_ = tun.ReloadPolicy()
	if c := explain(within(t), t, tun, "anna", "web:443", "").Wrong(); c == nil || !strings.Contains(c.Evidence, "the policy file is wrong") {
		t.Errorf("with a wrong file: %+v", c)
	}
}

// What the host begins has its answers let in, or not.
func TestExplainUnanswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.json")
	replace(t, path, `{"local": ["10.9.0.77"], "accept": []}`)
	c := userspace(key.NewPrivate(), key.NewPrivate())
	c.Policy = path
	tun := start(t, c)
	e := explain(within(t), t, tun, "10.9.0.1", "10.9.0.2:80", "")
	if got := first(t, e); got != "rules unanswered" || e.Direction != filter.Outbound || !strings.Contains(e.Wrong().Advice, "add 10.9.0.1 to local in "+path) {
		t.Errorf("%q %v", got, e)
	}
}

// A policy that lets flows through one way: each end knows its own.
func TestExplainAsymmetric(t *testing.T) {
	a, b := linked(t)
	dir := t.TempDir()
	a.Policy, b.Policy = filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json")
	replace(t, a.Policy, allow(22))
	replace(t, b.Policy, `{"local": ["10.9.0.2"], "accept": []}`)
	b.Peers[0].Required = true
	ta, tb := start(t, a), start(t, b)
	firstSoon(t, ta, "10.9.0.2", "10.9.0.1:22", "program nobody-listens")
	l, err := ta.Listen(within(t), "tcp", ":22")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	firstSoon(t, ta, "10.9.0.2", "10.9.0.1:22", "")
	for _, tt := range []struct {
		at       *tunnel.Tunnel
		src, dst string
		want     string
	}{
		{tb, "10.9.0.2", "10.9.0.1:22", ""},
		{ta, "10.9.0.1", "10.9.0.2:22", ""}, // as far as can be known here
		{tb, "10.9.0.1", "10.9.0.2:22", "rules no-rule"},
	} {
		if e := explain(within(t), t, tt.at, tt.src, tt.dst, ""); first(t, e) != tt.want || e.Peer != "other" {
			t.Errorf("%s to %s: %q, want %q: %+v", tt.src, tt.dst, first(t, e), tt.want, e)
		}
	}
}

// Flows that are open show, and so do those whose rules are gone.
func TestExplainOpenFlow(t *testing.T) {
	a, b := linked(t)
	a.Policy = filepath.Join(t.TempDir(), "policy.json")
	replace(t, a.Policy, allow(22))
	b.Peers[0].Required = true
	ta, tb := start(t, a), start(t, b)
	l, err := ta.Listen(within(t), "tcp", "10.9.0.1:22")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := tb.DialContext(within(t), "tcp", "10.9.0.1:22")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	state := func(e tunnel.Explanation) string { return e.Checks[1].Text }
	if e := explain(within(t), t, ta, "other", "10.9.0.1:22", ""); !strings.HasPrefix(state(e), "open: 1 flow") {
		t.Errorf("open: %+v", e)
	}
	if e := explain(within(t), t, tb, "10.9.0.2", "10.9.0.1:22", ""); !strings.HasPrefix(state(e), "open: 1 flow") {
		t.Errorf("at the other end: %+v", e)
	}
	if e := explain(within(t), t, ta, "other", "10.9.0.1:23", ""); state(e) != "no such flow is open" {
		t.Errorf("another port: %+v", e)
	}
	replace(t, a.Policy, allow(23))
	if err := ta.ReloadPolicy(); err != nil {
		t.Fatal(err)
	}
	const revoked = "1 of them the rules in force do not allow any more"
	e := explain(within(t), t, ta, "other", "10.9.0.1:22", "")
	for end := time.Now().Add(patience); !strings.Contains(state(e), revoked) && time.Now().Before(end); e = explain(within(t), t, ta, "other", "10.9.0.1:22", "") {
		if _, err := c.Write([]byte("x")); err != nil { // flows are judged anew by their next packet
			t.Fatal(err)
		}
	}
	if first(t, e) != "rules no-rule" || !strings.Contains(state(e), revoked) {
		t.Errorf("revoked: %+v", e)
	}
}

// A peer that is down, and each reason that can be known.
func TestExplainHandshakes(t *testing.T) {
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		_, b := linked(t)
		c := firstSoon(t, start(t, b), "10.9.0.2", "10.9.0.1:22", "handshake endpoint-refused")
		if !strings.Contains(c.Evidence, b.Peers[0].Endpoint) {
			t.Errorf("%+v", c)
		}
	})
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		_, b := linked(t)
		b.Peers[0].Endpoint = silent(t)
		c := firstSoon(t, start(t, b), "10.9.0.2", "10.9.0.1:22", "handshake no-handshake")
		for _, may := range []string{"keys", "firewall", "clock"} {
			if !strings.Contains(c.Advice, may) {
				t.Errorf("no word of %s: %+v", may, c)
			}
		}
	})
	t.Run("a wrong key", func(t *testing.T) {
		t.Parallel()
		a, b := linked(t)
		b.Peers[0].PublicKey = key.NewPrivate().Public()
		ta, tb := start(t, a), start(t, b)
		firstSoon(t, tb, "10.9.0.2", "10.9.0.1:22", "handshake no-handshake")
		firstSoon(t, ta, "10.9.0.2", "10.9.0.1:22", "handshake wrong-own-key")
	})
	t.Run("no peer", func(t *testing.T) {
		t.Parallel()
		_, b := linked(t)
		tun := start(t, b)
		for _, flow := range [][2]string{{"10.9.0.2", "10.9.0.7:22"}, {"10.9.0.7", "10.9.0.2:22"}} {
			if e := explain(within(t), t, tun, flow[0], flow[1], ""); first(t, e) != "peer no-peer" || e.Peer != "" {
				t.Errorf("%v: %+v", flow, e)
			}
		}
	})
}

// Names that nobody looks up are the last thing that is wrong.
func TestExplainNames(t *testing.T) {
	a, b := linked(t)
	b.Peers[0].Required = true
	b.DNS = []netip.Addr{netip.MustParseAddr("192.0.2.53")}
	start(t, a)
	tun := start(t, b)
	if c := firstSoon(t, tun, "10.9.0.2", "10.9.0.1:22", "dns dns-unreachable"); !strings.Contains(c.Evidence, "192.0.2.53") {
		t.Errorf("%+v", c)
	}
}

// What stands for no flow, or for too many, is an error.
func TestExplainFlows(t *testing.T) {
	tun := start(t, userspace(key.NewPrivate(), key.NewPrivate()))
	for _, tt := range []struct{ src, dst, proto, want string }{
		{"nobody", "10.9.0.1:22", "", "nobody"},
		{"10.9.0.2", "10.9.0.1", "", "10.9.0.1"},
		{"10.9.0.2", "10.9.0.1:1-65", "", "65 flows"},
		{"10.9.0.2", "10.9.0.1:1", "nothing", "nothing"},
	} {
		if flows, err := tun.FlowsBetween(tt.src, tt.dst, tt.proto); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, %v", tt, flows, err)
		}
	}
	for src, want := range map[string]string{"other": "10.9.0.2", "fd09::2": "fd09::2"} {
		flows, err := tun.FlowsBetween(src, "*:22", "tcp")
		if err == nil && len(flows) == 1 {
			t.Errorf("%v of everything", flows)
		}
		dst := map[bool]string{true: "10.9.0.1", false: "[fd09::1]"}[want == "10.9.0.2"]
		if flows, err = tun.FlowsBetween(src, dst+":22", ""); err != nil || len(flows) != 1 || flows[0].Src.String() != want {
			t.Errorf("%s: %v, %v", src, flows, err)
		}
	}
}
