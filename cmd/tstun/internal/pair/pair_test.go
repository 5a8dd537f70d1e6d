package pair_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	goqr "github.com/piglig/go-qr"
	"go.uber.org/goleak"

	"tstun/cmd/tstun/internal/pair"
	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/policy"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what should take milliseconds.
const patience = 30 * time.Second

func options(endpoint string) pair.Options {
	return pair.Options{Names: [2]string{"server", "client"}, Endpoint: endpoint}
}

func mustNew(t *testing.T, o pair.Options) *pair.Pair {
	t.Helper()
	p, err := pair.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// freePort returns a UDP port of loopback that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// startEnd starts an end from its files, as tstun up does.
func startEnd(t *testing.T, p *pair.Pair, dir string, i int) *tunnel.Tunnel {
	t.Helper()
	c, warnings, err := wgquick.ParseFile(filepath.Join(dir, p.Ends[i].File()), wgquick.Options{})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	c.Mode, c.Policy, c.Logf = tunnel.ModeUserspace, filepath.Join(dir, pair.PolicyFile), t.Logf
	c.Peers[0].Required = c.Peers[0].Endpoint != ""
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tun, err := tunnel.Start(ctx, *c)
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

// exchange sends a line from one end to a port of the other and back.
func exchange(t *testing.T, from, to *tunnel.Tunnel, address netip.Addr, port uint16) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	at := netip.AddrPortFrom(address, port).String()
	l, err := to.Listen(ctx, "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	c, err := from.DialContext(ctx, "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "hello\n")
	answer := make([]byte, 6)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "hello\n" {
		t.Errorf("%s: %q, %v", at, answer, err)
	}
}

// What is written is a tunnel: both files start, data goes both ways over both
// IP versions, and the policy refuses what it says.
func TestPairRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pair")
	p := mustNew(t, options(fmt.Sprintf("127.0.0.1:%d", freePort(t))))
	if err := p.Write(dir, false); err != nil {
		t.Fatal(err)
	}
	server := startEnd(t, p, dir, 0)
	client := startEnd(t, p, dir, 1)
	for i := range 2 {
		exchange(t, client, server, p.Ends[0].Addrs[i], 80)
		exchange(t, server, client, p.Ends[1].Addrs[i], 22)
		for _, f := range []struct {
			at       *tunnel.Tunnel
			from, to netip.Addr
			port     uint16
			dropped  bool
		}{
			{server, p.Ends[1].Addrs[i], p.Ends[0].Addrs[i], 443, false},
			{server, p.Ends[1].Addrs[i], p.Ends[0].Addrs[i], 25, true},
			{client, p.Ends[0].Addrs[i], p.Ends[1].Addrs[i], 80, true},
		} {
			e := f.at.ExplainNew(filter.Inbound, policy.Flow{Src: f.from, Dst: netip.AddrPortFrom(f.to, f.port), Proto: ipproto.TCP})
			if e.Response.IsDrop() != f.dropped {
				t.Errorf("%v to %v port %d: %v", f.from, f.to, f.port, e)
			}
		}
	}
	if name := server.Status().Peers[0].Name; name != "client" {
		t.Errorf("the server calls its peer %q", name)
	}
}

// The policy serves both ends also if it is read for one of them.
func TestPolicyForEachEnd(t *testing.T) {
	for _, full := range []bool{false, true} {
		o := options(pair.DefaultEndpoint)
		o.FullTunnel = full
		text := mustNew(t, o).Policy
		for _, host := range append(o.Names[:], "") {
			p, err := policy.ParseFor(pair.PolicyFile, text, host)
			if host == "" {
				p, err = policy.Parse(pair.PolicyFile, text)
			}
			if err != nil {
				t.Fatalf("%s\n%v", text, err)
			}
			failures, err := p.Test()
			if err != nil || len(failures) > 0 || p.Tests() == 0 || host == "" && len(p.Notes()) > 0 {
				t.Errorf("for %q: %v, %v, %d tests, %v", host, failures, err, p.Tests(), p.Notes())
			}
		}
	}
}

func TestFiles(t *testing.T) {
	o := pair.Options{
		Names: [2]string{"home", "phone"}, Endpoint: "home.example.com:4500", FullTunnel: true,
		Subnets: []netip.Prefix{netip.MustParsePrefix("192.168.9.0/29"), netip.MustParsePrefix("fd00:1:2:3::/64")},
		DNS:     []netip.Addr{netip.MustParseAddr("192.168.9.1")},
	}
	p := mustNew(t, o)
	a, b := p.Ends[0].Config, p.Ends[1].Config
	want := [2]string{fmt.Sprintf(`[Interface]
PrivateKey = %s
ListenPort = 4500
Address = 192.168.9.1/29, fd00:1:2:3::1/64

[Peer]
# friendly_name = phone
PublicKey = %v
PresharedKey = %s
AllowedIPs = 192.168.9.2/32, fd00:1:2:3::2/128
`, a.PrivateKey.Reveal(), b.PrivateKey.Public(), a.Peers[0].PresharedKey.Reveal()), fmt.Sprintf(`[Interface]
PrivateKey = %s
Address = 192.168.9.2/29, fd00:1:2:3::2/64
DNS = 192.168.9.1

[Peer]
# friendly_name = home
PublicKey = %v
PresharedKey = %s
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = home.example.com:4500
PersistentKeepalive = 25
`, b.PrivateKey.Reveal(), a.PrivateKey.Public(), a.Peers[0].PresharedKey.Reveal())}
	for i, e := range p.Ends {
		if string(e.Text) != want[i] {
			t.Errorf("%s is\n%swant\n%s", e.File(), e.Text, want[i])
		}
	}
}

// Networks of IPv6 are random ones of RFC 4193: fd, and 40 bits of its own.
func TestRandomSubnets(t *testing.T) {
	seen := make(map[netip.Addr]bool)
	for range 20 {
		a := mustNew(t, options(pair.DefaultEndpoint)).Ends[0].Addrs[1]
		if text := a.As16(); text[0] != 0xfd || !bytes.Equal(text[6:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 1}) || seen[a] {
			t.Errorf("%v", a)
		}
		seen[a] = true
	}
}

func TestRefused(t *testing.T) {
	prefixes := func(texts ...string) (all []netip.Prefix) {
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	for _, tt := range []struct {
		change func(*pair.Options)
		want   string
	}{
		{func(o *pair.Options) { o.Names[0] = "1st" }, `name "1st": want a letter`},
		{func(o *pair.Options) { o.Names[0] = "sixteen_letters_" }, "up to 14"},
		{func(o *pair.Options) { o.Names[1] = `a"` }, "name"},
		{func(o *pair.Options) { o.Names[1] = "../a" }, "name"},
		{func(o *pair.Options) { o.Names[1] = "Server" }, "want two names"},
		{func(o *pair.Options) { o.Endpoint = "example.com" }, `endpoint "example.com": want host:port`},
		{func(o *pair.Options) { o.Endpoint = "example.com:0" }, "want host:port"},
		{func(o *pair.Options) { o.Endpoint = "example.com:http" }, "want host:port"},
		{func(o *pair.Options) { o.Endpoint = "a b:1" }, "want an IP address or the name of a host"},
		{func(o *pair.Options) { o.Endpoint = "a\n[Peer]:1" }, "endpoint"},
		{func(o *pair.Options) { o.Endpoint = "0.0.0.0:1" }, "want the address of a host"},
		{func(o *pair.Options) { o.Endpoint = "10.77.0.9:1" }, "in the tunnel's own subnet 10.77.0.0/24"},
		{func(o *pair.Options) { o.Subnets = prefixes("10.0.0.1/24") }, "host bits: want 10.0.0.0/24"},
		{func(o *pair.Options) { o.Subnets = prefixes("10.0.0.0/31") }, "want /30 or shorter"},
		{func(o *pair.Options) { o.Subnets = prefixes("fd00::/127") }, "want /126 or shorter"},
		{func(o *pair.Options) { o.Subnets = prefixes("10.1.0.0/24", "10.0.0.0/24") }, "there is 10.1.0.0/24 already"},
		{func(o *pair.Options) { o.Subnets = prefixes("fe80::/64") }, "not for hosts"},
		{func(o *pair.Options) { o.Subnets = prefixes("255.0.0.0/8") }, "not for hosts"},
		{func(o *pair.Options) { o.Subnets = prefixes("0.0.0.0/0") }, "not for hosts"},
		{func(o *pair.Options) { o.Subnets = make([]netip.Prefix, 1) }, "want a prefix"},
		{func(o *pair.Options) { o.DNS = []netip.Addr{netip.IPv6Unspecified()} }, "DNS ::"},
	} {
		o := options(pair.DefaultEndpoint)
		tt.change(&o)
		if _, err := pair.New(o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", o, err, tt.want)
		}
	}
}

// The directory is the owner's, nothing is overwritten unless that is asked
// for, and then all is new.
func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pair")
	first := mustNew(t, options(pair.DefaultEndpoint))
	if err := first.Write(dir, false); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]fs.FileMode{"": 0o700, "server.conf": 0o600, "client.conf": 0o600, pair.PolicyFile: 0o600} {
			info, err := os.Stat(filepath.Join(dir, path))
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", path, info, err)
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, "server.conf")); err != nil {
		t.Fatal(err)
	}
	second := mustNew(t, options(pair.DefaultEndpoint))
	err := second.Write(dir, false)
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "client.conf") || !strings.Contains(err.Error(), pair.PolicyFile) {
		t.Errorf("%v", err)
	}
	wantFiles(t, dir, map[string][]byte{"client.conf": first.Ends[1].Text, pair.PolicyFile: first.Policy})
	if err := second.Write(dir, true); err != nil {
		t.Error(err)
	}
	wantFiles(t, dir, map[string][]byte{"server.conf": second.Ends[0].Text, "client.conf": second.Ends[1].Text, pair.PolicyFile: second.Policy})
}

// wantFiles wants these files in a directory, and no others.
func wantFiles(t *testing.T, dir string, want map[string][]byte) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(want) {
		t.Errorf("%v, %v", entries, err)
	}
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

// What cannot be written leaves no directory, and not what is no directory.
func TestWriteNowhere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := mustNew(t, options(pair.DefaultEndpoint))
	for _, to := range []string{file, filepath.Join(dir, "a", "b")} {
		if err := p.Write(to, true); err == nil {
			t.Errorf("%s: written", to)
		}
	}
	wantFiles(t, dir, map[string][]byte{"file": {}})
}

// A QR code on a terminal, and in a pipe, is the file of the second end: another
// program's decoder reads it from what is printed.
func TestQRCode(t *testing.T) {
	o := options("[2001:db8::1]:51820")
	o.Names = [2]string{"office-router_1", "annas.phone"}
	o.FullTunnel, o.DNS = true, []netip.Addr{netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("fd00::1")}
	for _, p := range []*pair.Pair{mustNew(t, o), mustNew(t, options(pair.DefaultEndpoint))} {
		rows, err := p.QR()
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) > ui.MaxColumns {
			t.Errorf("%d bytes take %d columns", len(p.Ends[1].Text), len(rows))
		}
		for _, terminal := range []bool{false, true} {
			text, err := goqr.Decode(photograph(printed(rows, terminal), terminal))
			if err != nil || text != string(p.Ends[1].Text) {
				t.Errorf("terminal %v: %v, %q", terminal, err, text)
			}
		}
	}
}

// printed returns what is printed of a code, with colours if on a terminal.
func printed(rows [][]bool, terminal bool) string {
	var out bytes.Buffer
	env := ui.Environment{Stdout: &out, Terminal: terminal, Getenv: func(name string) string {
		return map[string]string{"LANG": "C.UTF-8", "TERM": "xterm"}[name]
	}}
	ui.NewPainter(env).HalfBlocks(rows)
	return out.String()
}

// photograph returns what a terminal shows of half blocks: with colours black
// on white, without them light on dark.
func photograph(text string, coloured bool) image.Image {
	const side = 8 // of a module, in pixels
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var grid [][]bool // light
	for _, line := range lines {
		if coloured {
			line = strings.TrimSuffix(strings.TrimPrefix(line, "\x1b[38;5;16;48;5;231m"), "\x1b[0m")
		}
		var upper, lower []bool
		for _, r := range line {
			ink := map[rune][2]bool{' ': {false, false}, '▀': {true, false}, '▄': {false, true}, '█': {true, true}}[r]
			upper, lower = append(upper, ink[0] != coloured), append(lower, ink[1] != coloured)
		}
		grid = append(grid, upper, lower)
	}
	picture := image.NewGray(image.Rect(0, 0, len(grid[0])*side, len(grid)*side))
	for y := range len(grid) * side {
		for x := range len(grid[0]) * side {
			if grid[y/side][x/side] {
				picture.SetGray(x, y, color.Gray{Y: 255})
			}
		}
	}
	return picture
}
