package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"tstun/cmd/tstun/internal/export"
	"tstun/filter"
	"tstun/key"
	"tstun/logger"
	"tstun/netstack"
	"tstun/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// node is a tunnel whose readiness the test says.
type node struct {
	*tunnel.Tunnel
	unready error
}

func (n node) Ready(context.Context) error { return n.unready }

// openPort is the only one that the policy of newPair opens.
const openPort = 80

const policyText = `{
	"hosts": {"server": "10.9.0.1", "client": "10.9.0.2"},
	"local": "server",
	"accept": [{"proto": "udp", "src": "client", "dst": "server:80"}],
}`

// newPair returns a tunnel with a policy, another that had a handshake with it,
// all that is secret of both, and the policy's file.
func newPair(t *testing.T) (server, client *tunnel.Tunnel, secrets []string, policy string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, b, shared := key.NewPrivate(), key.NewPrivate(), key.NewPreshared()
	policy = filepath.Join(t.TempDir(), "policy.hujson")
	if err := os.WriteFile(policy, []byte(policyText), 0o600); err != nil {
		t.Fatal(err)
	}
	peer := func(name string, k key.Private, ip string) []tunnel.Peer {
		return []tunnel.Peer{{Name: name, PublicKey: k.Public(), PresharedKey: shared, AllowedIPs: []netip.Prefix{netip.MustParsePrefix(ip)}}}
	}
	server = start(t, ctx, tunnel.Config{
		Name: "wg7", Mode: tunnel.ModeUserspace, PrivateKey: a, Policy: policy,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")}, Peers: append(peer("lap\"top", b, "10.9.0.2/32"),
			tunnel.Peer{PublicKey: key.NewPrivate().Public(), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.9.0.3/32"), netip.MustParsePrefix("fd00::3/128")}}),
	})
	c := tunnel.Config{
		Name: "wg8", Mode: tunnel.ModeUserspace, PrivateKey: b,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/24")}, Peers: peer("caf\xe9", a, "10.9.0.1/32"),
	}
	c.Peers[0].Endpoint, c.Peers[0].Required = fmt.Sprintf("127.0.0.1:%d", server.Status().ListenPort), true
	client = start(t, ctx, c)
	return server, client, []string{a.Reveal(), b.Reveal(), shared.Reveal()}, policy
}

func start(t *testing.T, ctx context.Context, c tunnel.Config) *tunnel.Tunnel {
	t.Helper()
	tun, err := tunnel.Start(ctx, c)
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

// serve serves source on loopback until the test ends.
func serve(t *testing.T, source export.Source) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- (&export.Server{Source: source, Logf: logger.Logf(t.Logf)}).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// get returns status, content type and body.
func get(t *testing.T, url, accept string) (int, string, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(body)
}

// exchange sends one datagram from client to the open port, and until one is
// dropped, to another.
func exchange(t *testing.T, server, client *tunnel.Tunnel) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := server.ListenPacket(ctx, "udp", fmt.Sprintf(":%d", openPort))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	send(t, ctx, client, openPort)
	_ = l.SetReadDeadline(time.Now().Add(patience))
	if n, _, err := l.ReadFrom(make([]byte, 100)); n != 5 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	for server.Status().Counters.In.Drops[filter.ReasonNoRule] == 0 {
		send(t, ctx, client, openPort+1)
		time.Sleep(time.Millisecond)
		if ctx.Err() != nil {
			t.Fatal("nothing was dropped")
		}
	}
}

func send(t *testing.T, ctx context.Context, client *tunnel.Tunnel, port int) {
	t.Helper()
	c, err := client.DialContext(ctx, "udp", fmt.Sprintf("10.9.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
}

// series returns the value of a series in a scrape.
func series(t *testing.T, text, name string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Errorf("no series %s in\n%s", name, text)
	return ""
}

// What a scrape says is what the tunnel says of itself, without a secret, and
// promtool's linter has no word against it.
func TestMetrics(t *testing.T) {
	server, client, secrets, policy := newPair(t)
	exchange(t, server, client)
	if err := os.WriteFile(policy, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.ReloadPolicy(); err == nil {
		t.Fatal("a policy that is none was taken")
	}
	address := serve(t, node{Tunnel: server}) + "/metrics"
	s := server.Status()
	code, kind, text := get(t, address, "")
	for now := server.Status(); !reflect.DeepEqual(s, now); now = server.Status() { // a packet was still on its way
		s = now
		code, kind, text = get(t, address, "")
	}
	if code != 200 || !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Fatalf("%d, %s: %s", code, kind, text)
	}
	p, nobody := s.Peers[0], s.Peers[1]
	labels := fmt.Sprintf(`{allowed_ips="10.9.0.2/32",friendly_name="lap\"top",interface="wg7",public_key="%v"}`, p.PublicKey)
	nobodys := fmt.Sprintf(`{allowed_ips="10.9.0.3/32,fd00::3/128",friendly_name="",interface="wg7",public_key="%v"}`, nobody.PublicKey)
	for name, want := range map[string]any{
		"wireguard_sent_bytes_total" + labels:                                             p.Sent,
		"wireguard_received_bytes_total" + nobodys:                                        0,
		"wireguard_latest_handshake_seconds" + nobodys:                                    0,
		`tstun_tunnel_info{interface="wg7",mode="userspace"}`:                             1,
		`tstun_delivered_packets_total{direction="in",interface="wg7"}`:                   s.Counters.In.Packets,
		`tstun_delivered_bytes_total{direction="in",interface="wg7"}`:                     s.Counters.In.Bytes,
		`tstun_delivered_packets_total{direction="out",interface="wg7"}`:                  s.Counters.Out.Packets,
		`tstun_dropped_packets_total{direction="in",interface="wg7",reason="no-rule"}`:    s.Counters.In.Drops[filter.ReasonNoRule],
		`tstun_dropped_packets_total{direction="out",interface="wg7",reason="malformed"}`: 0,
		`tstun_held_packets{interface="wg7"}`:                                             0,
		`tstun_netstack_packets_total{direction="in",interface="wg7"}`:                    s.Netstack.In.Packets,
		`tstun_netstack_dropped_packets_total{interface="wg7",reason="backlog"}`:          0,
		`tstun_netstack_connections{interface="wg7"}`:                                     0,
		`tstun_policy_rules{interface="wg7"}`:                                             1,
		`tstun_policy_file_refused{interface="wg7"}`:                                      1,
	} {
		if got := series(t, text, name); got != fmt.Sprint(want) {
			t.Errorf("%s %s, want %v", name, got, want)
		}
	}
	if got := series(t, text, `tstun_policy_refused_total{interface="wg7"}`); got == "0" { // the watch may have seen it, too
		t.Error("no refused policy is counted")
	}
	if got := seconds(t, series(t, text, "wireguard_latest_handshake_seconds"+labels)); got != p.Handshake.Unix() {
		t.Errorf("handshake at %d, want %d", got, p.Handshake.Unix())
	}
	if got := seconds(t, series(t, text, `tstun_policy_loaded_timestamp_seconds{interface="wg7"}`)); got != s.Policy.Loaded.Unix() {
		t.Errorf("policy loaded at %d, want %d", got, s.Policy.Loaded.Unix())
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Error("a secret shows")
		}
	}
	lint(t, text)
}

// seconds reads a whole number, which may be written with an exponent.
func seconds(t *testing.T, text string) int64 {
	t.Helper()
	var f float64
	if _, err := fmt.Sscan(text, &f); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return int64(f)
}

// lint says what promtool check metrics would.
func lint(t *testing.T, text string) {
	t.Helper()
	problems, err := promlint.New(bytes.NewBufferString(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
}

// A name that is not UTF-8 does not end the scrape, and who asks for OpenMetrics
// gets it.
func TestOpenMetrics(t *testing.T) {
	_, client, _, _ := newPair(t)
	code, kind, text := get(t, serve(t, node{Tunnel: client})+"/metrics", "application/openmetrics-text; version=1.0.0")
	if code != 200 || !strings.HasPrefix(kind, "application/openmetrics-text; version=1.0.0") || !strings.HasSuffix(text, "# EOF\n") {
		t.Errorf("%d, %s: %s", code, kind, text)
	}
	if !strings.Contains(text, `friendly_name="caf`+"\uFFFD"+`"`) || !strings.Contains(text, "# TYPE wireguard_sent_bytes counter\n") {
		t.Errorf("scrape:\n%s", text)
	}
	if strings.Contains(text, "tstun_policy_") {
		t.Error("there is a policy where none is")
	}
}

// named matches a metric in the first column of a table.
var named = regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\| (\\w+) \\|")

// docs/metrics.md names the metrics of the tunnel that a scrape has, with their
// types.
func TestDocument(t *testing.T) {
	server, _, _, _ := newPair(t)
	_, _, text := get(t, serve(t, node{Tunnel: server})+"/metrics", "")
	var there []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE ((?:tstun|wireguard)_\w+) (\w+)$`).FindAllStringSubmatch(text, -1) {
		there = append(there, m[1]+" "+m[2])
	}
	data, err := os.ReadFile("../../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, m := range named.FindAllStringSubmatch(string(data), -1) {
		told = append(told, m[1]+" "+m[2])
	}
	slices.Sort(told)
	if !slices.Equal(told, there) || len(there) < 15 {
		t.Errorf("docs/metrics.md has\n%s\na scrape has\n%s", strings.Join(told, "\n"), strings.Join(there, "\n"))
	}
	for _, r := range filter.Reasons() {
		if !strings.Contains(text, fmt.Sprintf(`reason="%v"`, r)) {
			t.Errorf("no series for %v", r)
		}
	}
	for _, r := range netstack.Reasons() {
		if !strings.Contains(text, fmt.Sprintf(`tstun_netstack_dropped_packets_total{interface="wg7",reason="%v"}`, r)) {
			t.Errorf("no series for %v", r)
		}
	}
}

func TestChecks(t *testing.T) {
	server, _, _, _ := newPair(t)
	reasons := errors.Join(errors.New("web: no handshake yet"), errors.New("db: no answer"))
	for _, tt := range []struct {
		path string
		n    node
		code int
		want string
	}{
		{"/readyz", node{server, nil}, 200, "ready\n"},
		{"/readyz", node{server, reasons}, 503, "web: no handshake yet\ndb: no answer\n"},
		{"/healthz", node{server, reasons}, 200, "alive\n"},
		{"/", node{server, nil}, 404, "404 page not found\n"},
	} {
		url := serve(t, tt.n)
		for range 2 {
			if code, _, body := get(t, url+tt.path, ""); code != tt.code || body != tt.want {
				t.Errorf("%s: %d %q, want %d %q", tt.path, code, body, tt.code, tt.want)
			}
		}
	}
}
