package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tstun/key"
	"tstun/tunnel"
)

// triangle is a hub in userspace and two peers of it, which find it.
type triangle struct {
	hub, a, b    *tunnel.Tunnel
	config       tunnel.Config // the hub's
	keyA, keyB   key.Private
	log          *logged
	configA      tunnel.Config
	configB      tunnel.Config
	privateOfHub key.Private
}

// newTriangle starts three tunnels that had handshakes.
func newTriangle(t *testing.T) *triangle {
	t.Helper()
	tr := &triangle{keyA: key.NewPrivate(), keyB: key.NewPrivate(), privateOfHub: key.NewPrivate(), log: new(logged)}
	tr.config = tunnel.Config{
		Mode: tunnel.ModeUserspace, PrivateKey: tr.privateOfHub, Addresses: prefixes("10.9.0.1/24"), Logf: tr.log.logf,
		Peers: []tunnel.Peer{
			{Name: "a", PublicKey: tr.keyA.Public(), AllowedIPs: prefixes("10.9.0.2/32")},
			{Name: "b", PublicKey: tr.keyB.Public(), AllowedIPs: prefixes("10.9.0.3/32"), Keepalive: 25},
		},
	}
	tr.hub = start(t, tr.config)
	spoke := func(k key.Private, address string) (*tunnel.Tunnel, tunnel.Config) {
		c := tunnel.Config{
			Mode: tunnel.ModeUserspace, PrivateKey: k, Addresses: prefixes(address),
			Peers: []tunnel.Peer{{
				Name: "hub", PublicKey: tr.privateOfHub.Public(), AllowedIPs: prefixes("10.9.0.1/32", "10.9.1.1/32"),
				Endpoint: fmt.Sprintf("127.0.0.1:%d", tr.hub.Status().ListenPort), Required: true,
			}},
		}
		return start(t, c), c
	}
	tr.a, tr.configA = spoke(tr.keyA, "10.9.0.2/24")
	tr.b, tr.configB = spoke(tr.keyB, "10.9.0.3/24")
	return tr
}

// clone returns a copy of c whose peers can be changed.
func clone(c tunnel.Config) tunnel.Config {
	c.Peers = slices.Clone(c.Peers)
	return c
}

func reload(t *testing.T, tun *tunnel.Tunnel, c tunnel.Config) {
	t.Helper()
	if err := tun.Reload(within(t), c); err != nil {
		t.Fatal(err)
	}
}

// transfer sends over TCP to an address of the hub until stop, and returns how
// many bytes were sent and arrived.
func transfer(t *testing.T, from, to *tunnel.Tunnel, address string) (stop func() (sent, arrived int64)) {
	t.Helper()
	l, err := to.Listen(within(t), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan int64, 1)
	go func() {
		var n int64
		if c, err := l.Accept(); err == nil {
			n, _ = io.Copy(io.Discard, c)
			c.Close()
		}
		l.Close()
		arrived <- n
	}()
	c, err := from.DialContext(within(t), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	sent := make(chan int64, 1)
	go func() {
		var n int64
		buf := make([]byte, 1<<14)
		for ctx.Err() == nil || n < 1<<20 {
			_ = c.SetWriteDeadline(time.Now().Add(patience))
			k, err := c.Write(buf)
			n += int64(k)
			if err != nil {
				t.Errorf("after %d bytes: %v", n, err)
				cancel()
				break
			}
		}
		c.Close()
		sent <- n
	}()
	return func() (int64, int64) {
		cancel()
		return <-sent, <-arrived
	}
}

// A reload in the middle of a transfer changes what it changes, tells it, and
// leaves the other peer's handshake, ID, endpoint and bytes alone.
func TestReload(t *testing.T) {
	tr := newTriangle(t)
	before := tr.hub.Status()
	stop := transfer(t, tr.a, tr.hub, "10.9.0.1:80")
	c := clone(tr.config)
	shared := key.NewPreshared()
	stranger := key.NewPrivate().Public()
	c.Peers = []tunnel.Peer{
		{Name: "new", PublicKey: stranger, AllowedIPs: prefixes("10.9.0.4/32"), Endpoint: "127.0.0.1:9", PresharedKey: shared},
		c.Peers[0],
	}
	c.Addresses = prefixes("10.9.0.1/24", "10.9.1.1/24")
	c.MTU, c.FwMark, c.DNS = 1300, 0, []netip.Addr{netip.MustParseAddr("10.9.0.3")}
	c.Hooks.PostUp = []string{"hunter2"}
	events := tr.hub.Events(within(t))
	reload(t, tr.hub, c)
	s := tr.hub.Status()
	if len(s.Peers) != 2 || s.Peers[0].Name != "new" || !s.Peers[0].PresharedKey || s.Peers[0].ConfiguredEndpoint != "127.0.0.1:9" || s.Peers[0].ID == before.Peers[1].ID {
		t.Errorf("peers %+v", s.Peers)
	}
	if is, was := s.Peers[1], before.Peers[0]; is.ID != was.ID || is.Handshake != was.Handshake || is.Endpoint != was.Endpoint || is.Received < was.Received {
		t.Errorf("the peer that did not change is %+v, was %+v", is, was)
	}
	if s.MTU != 1300 || s.ListenPort != before.ListenPort {
		t.Errorf("status %+v", s)
	}
	for _, want := range []tunnel.Event{
		{Kind: tunnel.PeerRemoved, PeerName: "b"},
		{Kind: tunnel.RoutesChanged, PeerName: "b", Removed: []string{"10.9.0.3/32"}},
		{Kind: tunnel.PeerAdded, PeerName: "new", Peer: stranger},
		{Kind: tunnel.RoutesChanged, PeerName: "new", Peer: stranger, Added: []string{"10.9.0.4/32"}},
		{Kind: tunnel.DNSChanged, Added: []string{"10.9.0.3"}},
	} {
		e := nextOf(within(t), t, events, want.Kind)
		if e.PeerName != want.PeerName || want.Peer != (key.Public{}) && e.Peer != want.Peer || !slices.Equal(e.Added, want.Added) || !slices.Equal(e.Removed, want.Removed) {
			t.Errorf("event %+v, want %+v", e, want)
		}
	}
	for _, want := range []string{
		"peer b is removed", "peer new is new, with allowed IPs 10.9.0.4/32", "the addresses are 10.9.0.1/24, 10.9.1.1/24", "MTU is 1300", "the DNS servers are 10.9.0.3", "the hooks changed: a reload runs none",
	} {
		if !strings.Contains(tr.log.String(), "reload: "+want) {
			t.Errorf("no line: %s", want)
		}
	}
	reload(t, tr.hub, tr.config)
	if sent, arrived := stop(); sent == 0 || sent != arrived {
		t.Errorf("%d bytes were sent, %d arrived", sent, arrived)
	}
	s = tr.hub.Status()
	if len(s.Peers) != 2 || s.Peers[1].Name != "b" || s.Peers[1].Keepalive != 25 || s.Peers[0].ID != before.Peers[0].ID || s.Peers[1].ID == before.Peers[1].ID {
		t.Errorf("peers %+v", s.Peers)
	}
	if text := tr.log.String(); strings.Contains(text, "hunter2") || strings.Contains(text, shared.Reveal()) || t.Failed() {
		t.Errorf("log:\n%s", text)
	}
}

// Each thing of a peer goes when it is absent.
func TestReloadAbsent(t *testing.T) {
	own, other, shared := key.NewPrivate(), key.NewPrivate(), key.NewPreshared()
	bare := userspace(own, other)
	full := clone(bare)
	full.Peers[0].PresharedKey, full.Peers[0].Keepalive, full.Peers[0].Endpoint = shared, 7, "127.0.0.1:9"
	full.Peers[0].AllowedIPs = append(prefixes("10.10.0.0/16"), full.Peers[0].AllowedIPs...)
	full.Peers[0].Name, full.FwMark = "friend", 0
	tun := start(t, full)
	reload(t, tun, bare)
	is := func(p tunnel.PeerStatus) string {
		return fmt.Sprint(p.Name, p.PresharedKey, p.Keepalive, p.Endpoint, p.ConfiguredEndpoint, p.AllowedIPs)
	}
	if got, want := is(tun.Status().Peers[0]), is(start(t, bare).Status().Peers[0]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	reload(t, tun, full)
	if got, want := is(tun.Status().Peers[0]), is(start(t, full).Status().Peers[0]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A new private key or UDP port is in force at once: the peers that know them
// have handshakes.
func TestReloadKeyAndPort(t *testing.T) {
	tr := newTriangle(t)
	busy, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	port := busy.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	c := clone(tr.config)
	c.PrivateKey, c.ListenPort, c.Peers = key.NewPrivate(), port, c.Peers[:1]
	before := tr.hub.Status()
	events := tr.hub.Events(within(t))
	err = tr.hub.Reload(within(t), c)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("listen on UDP port %d", port)) || !strings.HasSuffix(err.Error(), "what was in force before is in force again") {
		t.Fatalf("a port that is taken: %v", err)
	}
	if e := nextOf(within(t), t, events, tunnel.ConfigRefused); e.Text != err.Error() {
		t.Errorf("event %+v", e)
	}
	s := tr.hub.Status()
	if s.ListenPort != before.ListenPort || s.PublicKey != before.PublicKey || len(s.Peers) != 2 || s.Peers[0].Handshake != before.Peers[0].Handshake {
		t.Errorf("after a reload that failed: %+v", s)
	}
	stop := transfer(t, tr.a, tr.hub, "10.9.0.1:80")
	if sent, arrived := stop(); sent == 0 || sent != arrived {
		t.Errorf("%d bytes were sent, %d arrived", sent, arrived)
	}
	busy.Close()
	reload(t, tr.hub, c)
	a := clone(tr.configA)
	a.Peers[0].PublicKey, a.Peers[0].Endpoint = c.PrivateKey.Public(), fmt.Sprintf("127.0.0.1:%d", port)
	reload(t, tr.a, a)
	if err := tr.a.Ready(within(t)); err != nil {
		t.Error(err)
	}
	// Who answered a handshake holds it for done at the first packet that follows it.
	for ctx := within(t); !tr.hub.Status().Peers[0].Up && ctx.Err() == nil; time.Sleep(time.Millisecond) {
	}
	if s := tr.hub.Status(); s.ListenPort != port || s.PublicKey != c.PrivateKey.Public() || !s.Peers[0].Up {
		t.Errorf("status %+v", s)
	}
}

// What cannot be is refused before anything is touched.
func TestReloadRefuses(t *testing.T) {
	c := userspace(key.NewPrivate(), key.NewPrivate())
	tun := start(t, c)
	for want, change := range map[string]func(c *tunnel.Config){
		`Name "x": a running tunnel keeps`:        func(c *tunnel.Config) { c.Name = "x" },
		`Mode "kernel": a running tunnel keeps`:   func(c *tunnel.Config) { c.Mode = tunnel.ModeKernel },
		`StateDir "/tmp": a running tunnel keeps`: func(c *tunnel.Config) { c.StateDir = "/tmp" },
		"MTU 5":                      func(c *tunnel.Config) { c.MTU = 5 },
		"netstack: MTU 1000":         func(c *tunnel.Config) { c.MTU = 1000 },
		"netstack: no addresses":     func(c *tunnel.Config) { c.Addresses = nil },
		"endpoint of peer 1 (other)": func(c *tunnel.Config) { c.Peers[0].Endpoint = "nowhere.invalid:1" },
		"nothere.json":               func(c *tunnel.Config) { c.Policy = filepath.Join(t.TempDir(), "nothere.json") },
		"peer 2 (other): PublicKey is that of peer": func(c *tunnel.Config) { c.Peers = append(c.Peers, c.Peers[0]) },
	} {
		next := clone(c)
		next.Addresses = append(prefixes("10.8.0.1/24"), c.Addresses...)
		change(&next)
		if err := tun.Reload(within(t), next); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if s := tun.Status(); !slices.Equal(s.Addresses, c.Addresses) || len(s.Peers) != 1 || s.Peers[0].ConfiguredEndpoint != "" || s.MTU != start(t, c).Status().MTU {
			t.Errorf("%s: status %+v", want, s)
		}
	}
	if err := tun.Close(); err != nil {
		t.Error(err)
	}
	if err := tun.Reload(within(t), c); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A policy comes, another takes its place, is watched, names peers, and goes.
func TestReloadPolicyFile(t *testing.T) {
	c := userspace(key.NewPrivate(), key.NewPrivate())
	c.Peers[0].Name = ""
	tun := start(t, c)
	dirs := [2]string{filepath.Join(t.TempDir(), "p.json"), filepath.Join(t.TempDir(), "p.json")}
	for i, path := range dirs {
		replace(t, path, allow(22+i))
		c.Policy = path
		reload(t, tun, c)
		if !accepts(tun, uint16(22+i)) || accepts(tun, uint16(80)) || tun.Status().Policy.File != path {
			t.Errorf("policy %d is not in force: %+v", i, tun.Status().Policy)
		}
	}
	replace(t, dirs[0], allow(80)) // nobody's any more
	named := strings.Replace(allow(443), "{", `{"hosts": {"web": "10.9.0.2", "net": "10.9.0.0/24"}, `, 1)
	replace(t, dirs[1], named)
	eventually(t, tun, "the new file", func(tunnel.PolicyStatus) bool { return accepts(tun, 443) })
	if accepts(tun, 80) {
		t.Error("the old file came into force")
	}
	if name := tun.Status().Peers[0].Name; name != "web" {
		t.Errorf("the peer is called %q", name)
	}
	c.Peers[0].Name = "own"
	c.Policy = ""
	reload(t, tun, c)
	if s := tun.Status(); !accepts(tun, 1) || s.Policy != (tunnel.PolicyStatus{}) || s.Peers[0].Name != "own" {
		t.Errorf("without a policy: %+v", s)
	}
	if err := tun.ReloadPolicy(); err == nil {
		t.Error("ReloadPolicy without a policy")
	}
}

// Reload, Status, Ready, Lookup and Close may be called at the same time.
func TestReloadBesideClose(t *testing.T) {
	tr := newTriangle(t)
	other := clone(tr.config)
	other.Peers, other.Addresses = other.Peers[:1], prefixes("10.9.0.1/24", "10.9.1.1/24")
	done := make(chan struct{})
	for i := range 3 {
		go func() {
			defer func() { done <- struct{}{} }()
			for tr.hub.Reload(within(t), []tunnel.Config{tr.config, other}[i%2]) == nil {
				tr.hub.Status()
				_, _ = tr.hub.Lookup().LookupNetIP(within(t), "ip", "10.9.0.1")
			}
		}()
	}
	time.Sleep(50 * time.Millisecond)
	if err := tr.hub.Close(); err != nil {
		t.Error(err)
	}
	for range 3 {
		<-done
	}
}
