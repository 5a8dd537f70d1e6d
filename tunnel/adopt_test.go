package tunnel

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tstun/key"
)

// A name is looked up when there is something to send and the handshake is
// stale, and again after twice as long each time.
func TestIsDue(t *testing.T) {
	start := time.Unix(1e9, 0)
	p := pace{stale: 135 * time.Second, first: 30 * time.Second, greatest: 100 * time.Second}
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	s := &stalePeer{since: start}
	for i, tt := range []struct {
		now       int
		sent      uint64
		handshake int // -1: none
		want      bool
	}{
		{134, 100, -1, false}, // young
		{135, 100, -1, false}, // nothing was sent since
		{200, 100, -1, false},
		{300, 101, -1, true},
		{300, 102, -1, false}, // 30 s
		{329, 103, -1, false},
		{330, 103, -1, true},
		{389, 104, -1, false}, // 60 s
		{390, 104, -1, true},
		{390, 105, -1, false}, // 100 s
		{489, 105, -1, false},
		{490, 105, -1, true},
		{590, 105, -1, false}, // nothing was sent since
		{600, 106, 500, false},
		{634, 107, 500, false},
		{635, 108, 500, true}, // as if it were the first
		{665, 109, 500, true},
	} {
		is := peerState{sent: tt.sent}
		if tt.handshake >= 0 {
			is.handshake = at(tt.handshake)
		}
		if got := s.isDue(is, 7, at(tt.now), p); got != tt.want {
			t.Errorf("%d: at %d s: %v", i, tt.now, got)
		}
	}
	s = &stalePeer{since: start}
	for i, tt := range []struct {
		now       int
		out       uint64
		keepalive uint16
		want      bool
	}{
		{134, 1, 0, false}, {135, 1, 0, false}, {136, 1, 25, true}, {136, 1, 25, false}, {166, 1, 25, true}, {300, 1, 0, false}, {300, 2, 0, true},
	} {
		if got := s.isDue(peerState{keepalive: tt.keepalive}, tt.out, at(tt.now), p); got != tt.want {
			t.Errorf("%d: at %d s with nothing that can be sent: %v", i, tt.now, got)
		}
	}
}

func TestAnother(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:1")
	both := []netip.AddrPort{a, b}
	for _, tt := range []struct {
		addrs      []netip.AddrPort
		used, want netip.AddrPort
	}{
		{both, a, b}, {both, b, a}, {both, netip.AddrPort{}, a}, {both[:1], a, a}, {both[:1], b, a},
	} {
		if got := another(tt.addrs, tt.used); got != tt.want {
			t.Errorf("of %v with %v: %v, want %v", tt.addrs, tt.used, got, tt.want)
		}
	}
}

// What a program sets in userspace mode, as wg(8) would, is adopted, and the
// next Reload takes it back and says so.
func TestSetByUser(t *testing.T) {
	own, a, b := key.NewPrivate(), key.NewPrivate().Public(), key.NewPrivate().Public()
	var mu sync.Mutex
	var log strings.Builder
	logf := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&log, format+"\n", args...)
	}
	text := func() string {
		mu.Lock()
		defer mu.Unlock()
		return log.String()
	}
	c := Config{
		Mode: ModeUserspace, PrivateKey: own, Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")},
		Peers: []Peer{{Name: "a", PublicKey: a, Endpoint: "127.0.0.1:9", Keepalive: 3, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/32"), netip.MustParsePrefix("10.9.0.1/32")}}},
		Logf:  logf,
	}
	tun, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tun.Close() })
	before := tun.Status()
	shared := key.NewPreshared()
	set := func(line string, args ...any) { // of keys as %x
		t.Helper()
		if err := tun.setByUser(fmt.Sprintf(line, args...)); err != nil {
			t.Error(err)
		}
	}
	raw := func(k interface{ Raw32() [32]byte }) [32]byte { return k.Raw32() }
	set("public_key=%x\nupdate_only=true\n", raw(a)) // nothing
	if tun.Status().Peers[0].AllowedIPs[0] != c.Peers[0].AllowedIPs[0] || strings.Contains(text(), "wg(8)") {
		t.Errorf("peers %+v, log %s", tun.Status().Peers, text())
	}
	set("public_key=%x\nallowed_ip=10.9.0.3/32\nallowed_ip=::ffff:10.0.0.0/104\npublic_key=%x\npreshared_key=%x\nendpoint=127.0.0.1:10\npersistent_keepalive_interval=0\nallowed_ip=10.9.7.0/24\n", raw(b), raw(a), raw(shared))
	s := tun.Status()
	if len(s.Peers) != 2 || s.Peers[1].PublicKey != b || s.Peers[1].Name != "" || s.Peers[1].ID == s.Peers[0].ID || fmt.Sprint(s.Peers[1].AllowedIPs) != "[10.9.0.3/32]" {
		t.Errorf("peers %+v", s.Peers)
	}
	if p := s.Peers[0]; p.ID != before.Peers[0].ID || !p.PresharedKey || p.Keepalive != 0 || p.ConfiguredEndpoint != "127.0.0.1:10" || len(p.AllowedIPs) != 3 {
		t.Errorf("peer %+v", p)
	}
	if got := tun.wrapper.PeerOf(netip.MustParseAddr("10.9.7.7")); got != tun.wrapper.PeerOf(netip.MustParseAddr("10.9.0.2")) {
		t.Error("the Wrapper did not follow")
	}
	for _, want := range []string{"wg(8): peer " + b.String() + " is new", "wg(8): peer a: the keepalive is off", "wg(8): peer a: there is a preshared key", "wg(8): peer a: the endpoint is 127.0.0.1:10", "now with allowed IPs 10.9.7.0/24"} {
		if !strings.Contains(text(), want) {
			t.Errorf("no line: %s", want)
		}
	}
	set("listen_port=0\nreplace_peers=true\npublic_key=%x\nallowed_ip=10.9.0.3/32\n", raw(a)) // as wg setconf
	if s := tun.Status(); len(s.Peers) != 1 || s.Peers[0].Name != "a" || s.Peers[0].ConfiguredEndpoint != "" || s.Peers[0].PresharedKey || s.ListenPort == 0 {
		t.Errorf("status %+v", s)
	}
	if err := tun.setByUser("public_key=00\n"); err == nil {
		t.Error("a bad line is taken")
	}
	c.Peers[0].Keepalive = 4 // the file's own change
	if err := tun.Reload(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	p := tun.Status().Peers[0]
	gone, come := differences(p.AllowedIPs, c.Peers[0].AllowedIPs)
	if len(gone)+len(come) > 0 || p.ConfiguredEndpoint != "127.0.0.1:9" || p.Endpoint.Port() != 9 || p.Keepalive != 4 {
		t.Errorf("peer %+v", p)
	}
	for _, want := range []string{"reload: peer a: the keepalive is 4\n", "taken back: peer a: the endpoint is 127.0.0.1:9\n", "taken back: peer a: now with allowed IPs 10.9.0.2/32, 10.9.0.1/32, without allowed IPs 10.9.0.3/32\n"} {
		if !strings.Contains(text(), want) {
			t.Errorf("no line: %s", want)
		}
	}
	if strings.Contains(text(), shared.Reveal()) || t.Failed() {
		t.Logf("log:\n%s", text())
	}
}

// change writes nothing of peers that stay, and restore makes anew only those
// that change had to do with.
func TestLines(t *testing.T) {
	keys := []key.Public{key.NewPrivate().Public(), key.NewPrivate().Public(), key.NewPrivate().Public(), key.NewPrivate().Public()}
	prefix := func(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }
	old := &live{Config: Config{Peers: []Peer{{PublicKey: keys[0], AllowedIPs: prefix("10.0.0.0/32")}, {PublicKey: keys[1], AllowedIPs: prefix("10.0.0.1/32")}, {PublicKey: keys[2], Endpoint: "192.0.2.1:1"}}},
		at: endpoints{keys[2]: netip.MustParseAddrPort("192.0.2.1:1")}}
	next := &live{Config: Config{Peers: []Peer{{PublicKey: keys[0], AllowedIPs: prefix("10.0.0.0/32")}, {PublicKey: keys[2]}, {PublicKey: keys[3], AllowedIPs: prefix("10.0.0.1/32")}}}, at: maps.Clone(old.at)}
	delete(next.at, keys[2])
	hex := func(i int) string { return fmt.Sprintf("public_key=%x", keys[i].Raw32()) }
	none := "preshared_key=" + strings.Repeat("0", 64)
	var change, restore, same lines
	change.change(old, next)
	restore.restore(old, next)
	same.change(old, old)
	same.restore(old, old)
	for _, tt := range []struct {
		got  string
		want []string
	}{
		{change.String(), []string{hex(1), "remove=true", hex(2), "remove=true", hex(2), none, "persistent_keepalive_interval=0", hex(3), none, "persistent_keepalive_interval=0", "allowed_ip=10.0.0.1/32", ""}},
		{restore.String(), []string{hex(3), "remove=true", hex(1), "remove=true", hex(1), none, "persistent_keepalive_interval=0", "allowed_ip=10.0.0.1/32", hex(2), "remove=true", hex(2), none, "endpoint=192.0.2.1:1", "persistent_keepalive_interval=0", ""}},
		{same.String(), []string{""}},
	} {
		if got := strings.Split(tt.got, "\n"); !slices.Equal(got, tt.want) {
			t.Errorf("got %q\nwant %q", got, tt.want)
		}
	}
}
