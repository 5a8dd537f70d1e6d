package tunnel_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"tstun/key"
	"tstun/netstack"
	"tstun/tunnel"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func prefixes(texts ...string) (ps []netip.Prefix) {
	for _, text := range texts {
		ps = append(ps, netip.MustParsePrefix(text))
	}
	return ps
}

// userspace returns a Config of one peer.
func userspace(own, peer key.Private) tunnel.Config {
	return tunnel.Config{
		Mode: tunnel.ModeUserspace, PrivateKey: own, Addresses: prefixes("10.9.0.1/24", "fd09::1/64"),
		Peers: []tunnel.Peer{{Name: "other", PublicKey: peer.Public(), AllowedIPs: prefixes("10.9.0.2/32", "fd09::2/128")}},
	}
}

// start starts a tunnel, which is closed with the test.
func start(t *testing.T, c tunnel.Config) *tunnel.Tunnel {
	t.Helper()
	tun, err := tunnel.Start(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tun.Close(); err != nil {
			t.Error(err)
		}
	})
	return tun
}

// logged collects log lines.
type logged struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *logged) logf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.lines, format+"\n", args...)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

// pair returns two tunnels in userspace that had a handshake with a pre-shared
// key. The second finds the first by a name.
func pair(t *testing.T, l *logged) (a, b *tunnel.Tunnel, secrets []string) {
	t.Helper()
	ka, kb, shared := key.NewPrivate(), key.NewPrivate(), key.NewPreshared()
	ca, cb := userspace(ka, kb), userspace(kb, ka)
	ca.Peers[0].PresharedKey, ca.Logf = shared, l.logf
	a = start(t, ca)
	cb.Addresses = prefixes("10.9.0.2/24", "fd09::2/64")
	cb.DNS = []netip.Addr{netip.MustParseAddr("10.9.0.1")}
	cb.Logf = l.logf
	cb.Resolver = &netstack.Resolver{Dial: new(net.Dialer).DialContext, Hosts: map[string][]netip.Addr{"a.test": {netip.MustParseAddr("127.0.0.1")}}}
	p := &cb.Peers[0]
	p.PresharedKey, p.Required, p.AllowedIPs = shared, true, prefixes("10.9.0.1/32", "fd09::1/128")
	p.Endpoint = fmt.Sprintf("a.test:%d", a.Status().ListenPort)
	b = start(t, cb)
	for _, raw := range [][32]byte{ka.Raw32(), kb.Raw32(), shared.Raw32()} {
		secrets = append(secrets, hex.EncodeToString(raw[:]))
	}
	return a, b, append(secrets, ka.Reveal(), kb.Reveal(), shared.Reveal())
}

// What two tunnels in userspace say reaches the other, and neither shows a key.
func TestUserspace(t *testing.T) {
	var l logged
	a, b, secrets := pair(t, &l)
	for _, address := range []string{"10.9.0.1:53", "[fd09::1]:53"} {
		listener, err := a.ListenPacket(within(t), "udp", address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := b.DialContext(within(t), "udp", address)
		if err != nil {
			t.Fatal(err)
		}
		echo(t, c, listener)
		c.Close()
		listener.Close()
	}
	s := b.Status()
	for until := time.Now().Add(10 * time.Second); s.Counters.In.Packets < 2 && time.Now().Before(until); s = b.Status() {
		time.Sleep(time.Millisecond) // a socket has a datagram before the call that brought it is counted
	}
	p := s.Peers[0]
	if s.Mode != tunnel.ModeUserspace || s.ListenPort == 0 || !p.Up || p.Received == 0 || p.Sent == 0 || p.Endpoint.Addr().String() != "127.0.0.1" || s.Counters.In.Packets < 2 || s.Unaccounted != (tunnel.Unaccounted{}) {
		t.Errorf("status %+v", s)
	}
	text := fmt.Sprintf("%s%+v%+v", &l, a.Status(), s)
	if !strings.Contains(text, "no policy: all that the allowed IPs admit is accepted") {
		t.Errorf("no line says that all is accepted:\n%s", text)
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("a secret shows:\n%s", text)
		}
	}
}

// echo sends a datagram through c, and back where it arrives.
func echo(t *testing.T, c net.Conn, at net.PacketConn) {
	t.Helper()
	if _, err := c.Write([]byte("there")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	_ = at.SetDeadline(time.Now().Add(patience))
	_ = c.SetDeadline(time.Now().Add(patience))
	n, from, err := at.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := at.WriteTo(append(buf[:n:n], " and back"...), from); err != nil {
		t.Fatal(err)
	}
	if n, err = c.Read(buf); err != nil || string(buf[:n]) != "there and back" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
}

// Names are asked of the tunnel's servers, through the tunnel.
func TestNamesInUserspace(t *testing.T) {
	a, b, _ := pair(t, new(logged))
	server, err := a.ListenPacket(within(t), "udp", "10.9.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	asked := make(chan string, 1)
	go func() {
		buf := make([]byte, 1500)
		n, _, err := server.ReadFrom(buf)
		asked <- fmt.Sprintf("%q %v", buf[:n], err)
	}()
	ctx, cancel := context.WithCancel(within(t))
	dialed := make(chan error, 1)
	go func() {
		_, err := b.DialContext(ctx, "tcp", "web.test:80")
		dialed <- err
	}()
	if got := <-asked; !strings.Contains(got, `\x03web\x04test`) {
		t.Errorf("the server was asked %s", got)
	}
	cancel()
	if err := <-dialed; err == nil {
		t.Error("dialed a name that nobody knows")
	}
}

func TestClose(t *testing.T) {
	a, b, _ := pair(t, new(logged))
	waited := make(chan error, 1)
	go func() { waited <- a.Wait() }()
	var closing sync.WaitGroup
	for range 4 {
		closing.Go(func() {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if err := <-waited; err != nil {
		t.Errorf("Wait: %v", err)
	}
	closing.Wait()
	if _, err := a.DialContext(within(t), "tcp", "10.9.0.2:1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("DialContext: %v", err)
	}
	if _, err := a.Listen(within(t), "tcp", ":1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Listen: %v", err)
	}
	if _, err := a.ListenPacket(within(t), "udp", ":1"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ListenPacket: %v", err)
	}
	if p := a.Status().Peers; len(p) != 1 || p[0].Up {
		t.Errorf("peers %+v", p)
	}
	if _, err := b.Listen(within(t), "tcp", ":1"); err != nil {
		t.Errorf("the other tunnel: %v", err)
	}
}

// A step that fails is named, and goleak finds nothing that stays.
func TestStartFails(t *testing.T) {
	busy, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for want, change := range map[string]func(c *tunnel.Config){
		"endpoint of peer 1 (other)":       func(c *tunnel.Config) { c.Peers[0].Endpoint = "gone.test:1" },
		"no handshake with peer 1 (other)": func(c *tunnel.Config) { c.Peers[0].Required = true },
		"listen on UDP port":               func(c *tunnel.Config) { c.ListenPort = busy.LocalAddr().(*net.UDPAddr).AddrPort().Port() },
		"netstack":                         func(c *tunnel.Config) { c.Addresses = nil },
		"MTU 1000":                         func(c *tunnel.Config) { c.MTU = 1000 },
	} {
		c := userspace(key.NewPrivate(), key.NewPrivate())
		c.Resolver = &netstack.Resolver{Dial: new(net.Dialer).DialContext}
		change(&c)
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		if tun, err := tunnel.Start(ctx, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v, %v", want, tun, err)
		}
		cancel()
	}
}

// What cannot be is refused by name and position, all at once.
func TestCheck(t *testing.T) {
	own, peer := key.NewPrivate(), key.NewPrivate().Public()
	mapped := netip.MustParsePrefix("::ffff:10.0.0.0/104")
	_, err := tunnel.Start(within(t), tunnel.Config{
		MTU: 67, Table: -2, Mode: "fast", MSSClamp: 65536, Hooks: tunnel.Hooks{PreUp: []string{"hunter2"}},
		Addresses: []netip.Prefix{{}, netip.MustParsePrefix("224.0.0.1/4"), mapped},
		DNS:       []netip.Addr{{}},
	})
	_, err2 := tunnel.Start(within(t), tunnel.Config{
		PrivateKey: own,
		Addresses:  prefixes("10.0.0.1/24", "10.0.0.1/24"),
		Peers: []tunnel.Peer{
			{AllowedIPs: prefixes("10.0.0.1/8")},
			{PublicKey: own.Public(), Endpoint: "[::1]:0"},
			{Name: "x", PublicKey: peer, Endpoint: "::1:5", AllowedIPs: []netip.Prefix{{}, mapped}},
			{Name: "y", PublicKey: peer, MSSClamp: -2, Endpoint: ":5", AllowedIPs: prefixes("10.0.0.1/8")},
		},
	})
	text := fmt.Sprint(err, "\n", err2)
	for _, want := range []string{
		"PrivateKey is missing", "MTU 67: want 68 to 65535", "Table -2", "MSSClamp 65536: want 1 to 65535 bytes", "peer 4 (y): MSSClamp -2: want 1 to 65535 bytes", `Mode "fast"`,
		"Addresses: number 1 (invalid Prefix)", "Addresses: number 2 (224.0.0.1/4)", "Addresses: number 3 (::ffff:10.0.0.0/104)",
		"DNS: number 1 (invalid IP)", "Addresses: number 2 (10.0.0.1/24) is there already",
		"peer 1: PublicKey is missing", "AllowedIPs: number 1 (10.0.0.1/8) has host bits: write 10.0.0.0/8",
		"PublicKey is the tunnel's own", `endpoint "[::1]:0": want host:port`,
		`peer 3 (x): endpoint "::1:5"`, "peer 3 (x): AllowedIPs: number 1 (invalid Prefix)", "peer 3 (x): AllowedIPs: number 2 (::ffff:10.0.0.0/104)",
		"peer 4 (y): PublicKey is that of peer 3", `peer 4 (y): endpoint ":5"`, "peer 4 (y): AllowedIPs: number 1 (10.0.0.1/8) is in peer 1 already",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(text, "hunter2") {
		t.Error("a hook shows")
	}
	if t.Failed() {
		t.Log(text)
	}
}
