package tunnel_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tstun/internal/netns"
	"tstun/key"
	"tstun/tunnel"
)

// insideEnv holds the private key of a tunnel and the public one of its peer for
// a test that runs in a process of its own, with all threads in a namespace:
// what a tunnel does by itself, it does on any of them.
const insideEnv = "TUNNEL_INSIDE"

// inside returns the two keys, or skips the test.
func inside(t *testing.T) (own key.Private, peer key.Public) {
	t.Helper()
	a, b, there := strings.Cut(os.Getenv(insideEnv), " ")
	if !there {
		t.Skip("another test runs this one in a process of its own")
	}
	own, err := key.ParsePrivate(a)
	if err != nil {
		t.Fatal(err)
	}
	if peer, err = key.ParsePublic(b); err != nil {
		t.Fatal(err)
	}
	return own, peer
}

// runInside runs a test in a namespace, with a resolv.conf and a directory for
// sockets of its own.
func runInside(t *testing.T, ns *netns.NS, test, resolvConf string, own key.Private, peer key.Public) {
	t.Helper()
	for _, program := range []string{"unshare", "wg", "ip", "ping"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte(resolvConf), 0o644); err != nil {
		t.Fatal(err)
	}
	const script = `mount --bind "$1" /etc/resolv.conf && mkdir -p /var/run/wireguard && mount -t tmpfs none /var/run/wireguard && exec "$2" -test.run="^$3\$" -test.v`
	cmd := exec.CommandContext(within(t), "unshare", "--mount", "sh", "-c", script, "sh", file, os.Args[0], test)
	cmd.Env = append(os.Environ(), insideEnv+"="+own.Reveal()+" "+peer.String(), "GORACE=atexit_sleep_ms=0")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "--- PASS: "+test) {
		t.Errorf("%v\n%s", err, &out)
	}
}

// far starts the tunnel at the other end, in the second host.
func far(t *testing.T, ns *netns.NS, own key.Private, peer key.Public) *tunnel.Tunnel {
	t.Helper()
	c := tunnel.Config{
		Name: "tstun1", Mode: tunnel.ModeKernel, PrivateKey: own, ListenPort: 51820, StateDir: filepath.Join(t.TempDir(), "run"),
		Addresses: prefixes("10.9.0.2/24"), Peers: []tunnel.Peer{{PublicKey: peer, AllowedIPs: prefixes("10.9.0.1/32")}},
	}
	tun, err := startIn(within(t), ns, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Do(tun.Close); err != nil {
			t.Error(err)
		}
	})
	return tun
}

// near returns the Config of the tunnel inside.
func near(t *testing.T, own key.Private, peer key.Public, l *logged) tunnel.Config {
	return tunnel.Config{
		Name: "tstun7", Mode: tunnel.ModeKernel, PrivateKey: own, StateDir: filepath.Join(t.TempDir(), "run"),
		Addresses: prefixes("10.9.0.1/24"), Logf: l.logf,
		Peers: []tunnel.Peer{{Name: "far", PublicKey: peer, AllowedIPs: prefixes("10.9.0.2/32"), Endpoint: "192.0.2.2:51820", Required: true}},
	}
}

// sh runs a command of words.
func sh(t *testing.T, command string) string {
	t.Helper()
	f := strings.Fields(command)
	out, err := exec.CommandContext(within(t), f[0], f[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

func TestKernelReload(t *testing.T) {
	ns := hosts(t)
	a, b := key.NewPrivate(), key.NewPrivate()
	far(t, ns[1], b, a.Public())
	runInside(t, ns[0], "TestInsideReload", "nameserver 192.0.2.2\n", a, b.Public())
}

// hostNetwork returns what a tunnel sets in a host.
func hostNetwork(t *testing.T) string {
	return sh(t, "ip -o address show dev tstun7") + sh(t, "ip -4 rule") + sh(t, "ip -4 route show table all") + sh(t, "nft list ruleset")
}

// A ping that goes on loses nothing while a kernel tunnel is made a full one,
// changed by wg(8), and made what it was again.
func TestInsideReload(t *testing.T) {
	own, peer := inside(t)
	var l logged
	c := near(t, own, peer, &l)
	tun := start(t, c)
	before, id := hostNetwork(t), tun.Status().Peers[0].ID
	ping := exec.CommandContext(within(t), "ping", "-i", "0.02", "-c", "1000", "10.9.0.2")
	var pinged bytes.Buffer
	ping.Stdout = &pinged
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}

	full := clone(c)
	full.Addresses, full.MTU = prefixes("10.9.0.1/24", "10.8.0.1/24"), 1400
	full.Peers[0].AllowedIPs = prefixes("0.0.0.0/0")
	reload(t, tun, full)
	s := tun.Status()
	if s.FwMark == 0 || s.MTU != 1400 || s.Peers[0].ID != id {
		t.Errorf("status %+v", s)
	}
	if route := sh(t, "ip route get 203.0.113.1"); !strings.Contains(route, "dev tstun7") {
		t.Errorf("a full tunnel: %s", route)
	}
	reload(t, tun, c)
	if s := tun.Status(); s.FwMark != 0 || s.MTU != 1420 || len(s.Warnings) > 0 {
		t.Errorf("status %+v", s)
	}
	if after := hostNetwork(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}

	stranger := key.NewPrivate().Public()
	sh(t, fmt.Sprintf("wg set tstun7 peer %v allowed-ips 10.9.0.2/32,10.77.0.0/16 peer %v allowed-ips 10.78.0.0/16 persistent-keepalive 9", peer, stranger))
	for _, to := range []string{"10.77.0.1", "10.78.0.1"} {
		if route := sh(t, "ip route get "+to); !strings.Contains(route, "dev tstun7") {
			t.Errorf("the routes did not follow: %s", route)
		}
	}
	if s := tun.Status(); len(s.Peers) != 2 || s.Peers[1].PublicKey != stranger || s.Peers[1].Keepalive != 9 || s.Peers[0].ID != id {
		t.Errorf("status %+v", s)
	}
	sh(t, fmt.Sprintf("wg set tstun7 peer %v allowed-ips 0.0.0.0/0", peer)) // takes a mark
	if s := tun.Status(); s.FwMark == 0 {
		t.Error("no mark for a full tunnel")
	}
	sh(t, "wg set tstun7 fwmark 7")
	if rules := sh(t, "ip -4 rule"); tun.Status().FwMark != 7 || !strings.Contains(rules, "fwmark 0x7 ") {
		t.Errorf("mark %d, rules:\n%s", tun.Status().FwMark, rules)
	}
	reload(t, tun, c)
	if after := hostNetwork(t); after != before || len(tun.Status().Peers) != 1 {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	for _, want := range []string{"wg(8): peer " + stranger.String() + " is new", "wg(8): FwMark is 0x7", "what wg(8) had changed is taken back: peer " + stranger.String() + " is removed", "taken back: FwMark is 0x0"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("no line: %s", want)
		}
	}
	_ = ping.Process.Signal(os.Interrupt)
	_ = ping.Wait()
	seqs := regexp.MustCompile(`icmp_seq=(\d+) ttl`).FindAllStringSubmatch(pinged.String(), -1)
	if len(seqs) == 0 {
		t.Errorf("no ping came back: %s", &pinged)
	}
	for i, seq := range seqs { // the last one may be on its way still
		if seq[1] != strconv.Itoa(i+1) {
			t.Fatalf("ping %d is lost:\n%s\nlog:\n%s", i+1, &pinged, &l)
		}
	}
	sh(t, "wg set tstun7 listen-port 5555") // what is on its way to the old one is lost
	if port := tun.Status().ListenPort; port != 5555 {
		t.Errorf("the UDP port is %d", port)
	}
	if want := "wg(8): the UDP port is 5555"; !strings.Contains(l.String(), want) {
		t.Errorf("no line: %s", want)
	}
	if t.Failed() {
		t.Logf("log:\n%s", &l)
	}
}

// dnsServer answers for hub.test with the first address once, and then with the
// second. It notes who asks.
type dnsServer struct {
	mu    sync.Mutex
	addrs [][4]byte
	asked []netip.Addr
}

func (d *dnsServer) serve(c net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 {
			continue
		}
		m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
		q := m.Questions[0]
		if q.Name.String() != "hub.test." {
			m.RCode = dnsmessage.RCodeNameError
		} else if q.Type == dnsmessage.TypeA {
			d.mu.Lock()
			d.asked = append(d.asked, from.(*net.UDPAddr).AddrPort().Addr())
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: d.addrs[0]},
			}}
			d.addrs = d.addrs[len(d.addrs)-1:]
			d.mu.Unlock()
		}
		if answer, err := m.Pack(); err == nil {
			_, _ = c.WriteTo(answer, from)
		}
	}
}

// The name of a full tunnel's endpoint is asked for around the tunnel, of a
// server behind the default route.
func TestKernelNameMoves(t *testing.T) {
	ns := hosts(t)
	if err := ns[1].AddAddr("eth0", netip.MustParsePrefix("198.51.100.7/32")); err != nil {
		t.Fatal(err)
	}
	run(t, ns[0], "ip", "route", "add", "default", "via", "192.0.2.2")
	var conn net.PacketConn
	err := ns[1].Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", "198.51.100.7:53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &dnsServer{addrs: [][4]byte{{192, 0, 2, 9}, {192, 0, 2, 2}}}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.serve(conn)
	}()
	end := sync.OnceFunc(func() {
		conn.Close()
		<-served
	})
	defer end()
	a, b := key.NewPrivate(), key.NewPrivate()
	far(t, ns[1], b, a.Public())
	runInside(t, ns[0], "TestInsideNameMoves", "nameserver 198.51.100.7\n", a, b.Public())
	end()
	if len(server.asked) < 2 || slices.ContainsFunc(server.asked, func(a netip.Addr) bool { return a != netip.MustParseAddr("192.0.2.1") }) {
		t.Errorf("asked by %v", server.asked)
	}
}

func TestInsideNameMoves(t *testing.T) {
	own, peer := inside(t)
	var l logged
	c := near(t, own, peer, &l)
	c.Peers[0].AllowedIPs, c.Peers[0].Endpoint, c.Peers[0].Required, c.Peers[0].Keepalive = prefixes("0.0.0.0/0"), "hub.test:51820", false, 1
	c.SetLookUps(time.Second, time.Millisecond)
	tun := start(t, c)
	if at := tun.Status().Peers[0].Endpoint; at.Addr() != netip.MustParseAddr("192.0.2.9") {
		t.Fatalf("at first at %v", at)
	}
	events := tun.Events(within(t))
	if e := nextOf(within(t), t, events, tunnel.PeerMoved); e.Endpoint != netip.MustParseAddrPort("192.0.2.2:51820") {
		t.Errorf("event %+v", e)
	}
	nextOf(within(t), t, events, tunnel.PeerUp)
	sh(t, "ping -c 1 -W 10 10.9.0.2")
	if t.Failed() {
		t.Logf("log:\n%s", &l)
	}
}
