package wgquick_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"tstun/key"
	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

// Keys of the examples in wg(8) and wg-quick(8).
const (
	privateKey = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
	sharedKey  = "/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak="
	peerKey    = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
	otherKey   = "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
)

const whole = `# written by hand
[Interface]
Address = 10.192.122.1/24, fd00::1/64
Address = 10.10.0.1
PrivateKey = ` + privateKey + ` # mine
ListenPort = 51820
FwMark = 0xca6c
DNS = 10.200.100.1, corp.example
MTU = 1380
Table = 1234
PreUp = echo %i
PostUp = ip rule add ipproto tcp dport 22 table 1234
PostUp = echo up
PreDown = echo down
PostDown = echo gone
SaveConfig = false

[Peer]
# friendly_name = Anna's phone
publickey = ` + peerKey + `
PresharedKey = ` + sharedKey + `
AllowedIPs = 10.192.122.3/32, 10.192.124.1/24
AllowedIPs = fd00:1::/48
Endpoint = vpn.example.com:51820
PersistentKeepalive = 25

[Peer]
# Name = office
PublicKey = ` + otherKey + `
Endpoint = 2001:db8::1:51820
`

func parseKeys(t *testing.T) (private key.Private, shared key.Preshared, peer, other key.Public) {
	t.Helper()
	var errs [4]error
	private, errs[0] = key.ParsePrivate(privateKey)
	shared, errs[1] = key.ParsePreshared(sharedKey)
	peer, errs[2] = key.ParsePublic(peerKey)
	other, errs[3] = key.ParsePublic(otherKey)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return private, shared, peer, other
}

func TestParse(t *testing.T) {
	private, shared, peer, other := parseKeys(t)
	prefix := netip.MustParsePrefix
	want := &tunnel.Config{
		Name:          "wg0",
		PrivateKey:    private,
		ListenPort:    51820,
		Addresses:     []netip.Prefix{prefix("10.192.122.1/24"), prefix("fd00::1/64"), prefix("10.10.0.1/32")},
		DNS:           []netip.Addr{netip.MustParseAddr("10.200.100.1")},
		SearchDomains: []string{"corp.example"},
		MTU:           1380,
		Table:         1234,
		FwMark:        0xca6c,
		Hooks: tunnel.Hooks{
			PreUp:    []string{"echo %i"},
			PostUp:   []string{"ip rule add ipproto tcp dport 22 table 1234", "echo up"},
			PreDown:  []string{"echo down"},
			PostDown: []string{"echo gone"},
		},
		Peers: []tunnel.Peer{{
			Name:         "Anna's phone",
			PublicKey:    peer,
			PresharedKey: shared,
			AllowedIPs:   []netip.Prefix{prefix("10.192.122.3/32"), prefix("10.192.124.0/24"), prefix("fd00:1::/48")},
			Endpoint:     "vpn.example.com:51820",
			Keepalive:    25,
		}, {
			Name:      "office",
			PublicKey: other,
			Endpoint:  "[2001:db8::1]:51820",
		}},
	}
	got, warnings, err := wgquick.Parse("/etc/wireguard/wg0.conf", []byte(whole), wgquick.Options{Hooks: wgquick.AllowHooks})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", fields(got), fields(want))
	}
	const warning = "/etc/wireguard/wg0.conf:22:31: AllowedIPs = 10.192.124.1/24: taken as 10.192.124.0/24"
	if len(warnings) != 1 || warnings[0].String() != warning {
		t.Errorf("warnings %q, want %q", warnings, warning)
	}
}

// fields shows what a Config itself does not.
func fields(c *tunnel.Config) string {
	type shown tunnel.Config
	return fmt.Sprintf("%+v %q", shown(*c), c.Hooks.PostUp)
}

const peerLine = "[Peer]\nPublicKey=" + peerKey + "\n"

// Each mistake has its place, its sentence and its hint.
func TestErrors(t *testing.T) {
	const before = "[Interface]\nPrivateKey=" + privateKey + "\n" // two lines
	for _, tt := range []struct{ in, want string }{
		{before + "\tMTU = 1400\n MTU = 1500\n", "4:2: MTU again, after line 3: the last one would count | keep one of the two"},
		{before + "MTU = x\n", `3:7: MTU = "x": want a number from 68 to 65535`},
		{before + peerLine + peerLine, "6:11: this PublicKey is in line 4, too: the later AllowedIPs would replace the earlier | make one [Peer] of the two"},
		{before + peerLine + "AllowedIPs = 10.0.0.0/8\n[Peer]\nPublicKey = " + otherKey + "\nAllowedIPs = 10.1.0.0/16, 10.2.3.4/8\n",
			"8:27: AllowedIPs = 10.0.0.0/8 is another peer's in line 5: only the later peer would have it | give it to one of the two"},
		{before + "PostUp = echo " + sharedKey + "\n", "3:1: PostUp is a command to run: refused | --allow-hooks runs it as wg-quick does, --ignore-hooks passes over it"},
		{before + "  PostUp = iptables -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu\n", "3:3: PostUp is a command to run: refused | --clamp-mss mtu bounds TCP segments without a firewall, with --ignore-hooks; or run the command with --allow-hooks"},
		{before + "  PreDown = iptables -t nat -D POSTROUTING -j Masquerade\n", "3:3: PreDown is a command to run: refused | MASQUERADE gives what peers send on the host's address: add the rule to the host's firewall once and use --ignore-hooks, or run the command with --allow-hooks"},
		{before + "Adress = 10.0.0.1/24\n", "3:1: Adress: a key that neither wg nor wg-quick knows | did you mean Address?"},
		{before + "Jc = 4\n", "3:1: Jc: a key that neither wg nor wg-quick knows"},
		{before + sharedKey + "\n", "3:1: a key that neither wg nor wg-quick knows"},
		{before + "PrivateKey " + sharedKey + "\n", "3:1: a key that neither wg nor wg-quick knows"},
		{before + "PrivatKey = " + sharedKey + "\n", "3:1: PrivatKey: a key that neither wg nor wg-quick knows | did you mean PrivateKey?"},
		{before + peerLine + "Address = 10.0.0.1/24\n", "5:1: Address belongs to [Interface]"},
		{before + "Endpoint = 192.0.2.1:5\n", "3:1: Endpoint belongs to [Peer]"},
		{before + "; comment\n", "3:1: only # begins a comment | write # in place of ;"},
		{before + "FwMark\n", "3:1: a line without =: want a key, = and a value"},
		{before + "\tpostup \n", "3:2: PostUp without =: wg-quick would take the key for its value"},
		{before + "[Peers]\nPublicKey = x\n", "3:1: want a section of its own line, [Interface] or [Peer]"},
		{before + "[Peer]\nAllowedIPs = 10.0.0.0/8\n", "3:1: a [Peer] without PublicKey"},
		{before + "[Peer]\nPublicKey = " + privateKey[:40] + "\n", "4:13: not a PublicKey: want a key in base64, 44 characters"},
		{before + "[Peer]\nPublicKey = " + publicOf(t, privateKey) + "\n", "4:1: this PublicKey is the tunnel's own: it belongs to its PrivateKey | want the key that the peer shows"},
		{"[Interface]\nPrivateKey = " + privateKey + "x\n", "2:14: not a PrivateKey: want a key in base64, 44 characters | tstun keygen and wg genkey make one"},
		{before + peerLine + "AllowedIPs = 10.0.0.0/8, , " + sharedKey + "\n", "5:26: nothing between or behind commas in AllowedIPs: want an IP prefix\n5:28: AllowedIPs = (hidden): want an IP prefix, such as 10.0.0.0/24"},
		{before + peerLine + "AllowedIPs =\n", "5:13: AllowedIPs has no value | leave the line out"},
		{before + peerLine + "Endpoint = 192.0.2.1\n", `5:12: Endpoint = "192.0.2.1": want host:port, such as vpn.example.com:51820 or [2001:db8::1]:51820`},
		{before + "Address = 10.0.0.1/24, 10.0.0.1/24 ::ffff:10.0.0.2/120\n", "3:24: Address = 10.0.0.1/24: it is there already | keep one of the two\n3:36: Address = \"::ffff:10.0.0.2/120\": an IPv4 address in IPv6 form: write 10.0.0.2"},
		{before + "Address = über\x00\n", "3:15: a NUL byte: want text"},
		{"\uFEFF[Interface]\nFwMark = off\n", "1:1: a byte order mark, which wg takes for text | save the file as UTF-8 without a byte order mark"},
		{"MTU = 5\nMTU = 5\n[Interface]\n", "1:1: a line before the first section | begin with a line [Interface]"},
		{"", ": no [Interface]: want one, with PrivateKey and Address"},
		{before + "SaveConfig = yes\n", `3:14: SaveConfig = "yes": want true or false`},
		{before + "ListenPort = 70000\nTable = 0\n", "3:14: ListenPort = \"70000\": want a port from 0 to 65535, or the name of a UDP service\n4:9: Table = \"0\": want off, auto or a number from 1 to 4294967295"},
	} {
		c, _, err := wgquick.Parse("wg0.conf", []byte(tt.in), wgquick.Options{})
		want := "wg0.conf:" + strings.ReplaceAll(tt.want, "\n", "\nwg0.conf:")
		if got := withHints(t, err); got != strings.ReplaceAll(want, "conf::", "conf:") || c != nil {
			t.Errorf("%q: got\n%s\nwant\n%s", tt.in, got, want)
		}
	}
}

func publicOf(t *testing.T, private string) string {
	t.Helper()
	k, err := key.ParsePrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public().String()
}

// withHints writes each error in a line, with its hint.
func withHints(t *testing.T, err error) string {
	t.Helper()
	var all wgquick.Errors
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want Errors", err)
	}
	var lines []string
	for _, e := range all {
		line := e.Error()
		if e.Hint != "" {
			line += " | " + e.Hint
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Names of interfaces are those that wg-quick takes.
func TestInterfaceName(t *testing.T) {
	for path, want := range map[string]string{
		"wg0.conf": "wg0", "/etc/wireguard/a_=+.-9.conf": "a_=+.-9", "x/abcdefghijklmno.conf": "abcdefghijklmno", "a.conf.conf": "a.conf",
		"abcdefghijklmnop.conf": "", "wg0.CONF": "", "wg0": "", ".conf": "", "ü.conf": "", "a b.conf": "", "..conf": "", "...conf": "",
	} {
		got, err := wgquick.InterfaceName(path)
		if (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: got %q, %v; want %q", path, got, err, want)
		}
	}
	for _, name := range []string{"wg/0", "abcdefghijklmnop"} {
		_, _, err := wgquick.Parse("stdin", []byte("[Interface]"), wgquick.Options{Name: name})
		if err == nil || !strings.Contains(err.Error(), "cannot name an interface") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, _, err := wgquick.Parse("stdin", []byte("[Interface]"), wgquick.Options{Name: "wg9"}); err != nil || c.Name != "wg9" {
		t.Errorf("%v, %v", c, err)
	}
}

// Warnings say what becomes of what is not as it seems.
func TestWarnings(t *testing.T) {
	const before = "[Interface]\nPrivateKey=" + privateKey + "\n"
	for _, tt := range []struct{ in, want string }{
		{"[Interface]\n", ": no PrivateKey: no peer will answer"},
		{before + "SaveConfig = true\n", ":3:1: SaveConfig = true: this file is never written, so changes to the running tunnel are lost"},
		{before + "DNS = lan\n", ":3:1: search domains without the address of a DNS server: wg-quick does not use them"},
		{before + "PostUp = a # b\n", ":3:12: PostUp ends before #, as for wg-quick: the rest is a comment"},
		{before + peerLine + "# name = a\n#friendly_name=b\n", ":6:1: a second name of the peer: it has that of line 5"},
		{before + peerLine + "# name = a\n[Peer]\nPublicKey=" + otherKey + "\n#name=a\n", ":8:1: the peer in line 3 has the same name"},
		{before + peerLine + "# name = \x1b[1m\n", ":5:1: not taken as the peer's name: want 1 to 64 printable characters"},
		{before + peerLine + "# name = a, b # c\n# named = x\n[Interface]\n# Name = y\n", ""},
		{before + peerLine + "AllowedIPs = 10.0.0.0/8, 10.1.1.1/8\n", ":5:26: AllowedIPs = 10.1.1.1/8: taken as 10.0.0.0/8"},
	} {
		_, warnings, err := wgquick.Parse("wg0.conf", []byte(tt.in), wgquick.Options{Hooks: wgquick.AllowHooks})
		got := ""
		for _, w := range warnings {
			got += strings.TrimPrefix(w.String(), "wg0.conf")
		}
		if err != nil || got != tt.want {
			t.Errorf("%q: got %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

// Hooks that are passed over are in no Config and make no warning.
func TestIgnoreHooks(t *testing.T) {
	c, warnings, err := wgquick.Parse("wg0.conf", []byte(whole), wgquick.Options{Hooks: wgquick.IgnoreHooks})
	if err != nil || c.Hooks.Len() != 0 || len(warnings) != 1 {
		t.Errorf("%d hooks, %v, %v", c.Hooks.Len(), warnings, err)
	}
	_, _, err = wgquick.Parse("wg0.conf", []byte(whole), wgquick.Options{})
	if got := strings.Count(err.Error(), "\n") + 1; got != 5 {
		t.Errorf("%d errors, want one for each of 5 hooks:\n%v", got, err)
	}
}

// The first 100 errors and the first 100 warnings of a file are kept.
func TestManyProblems(t *testing.T) {
	const before = "[Interface]\nPrivateKey=" + privateKey + "\n"
	_, _, err := wgquick.Parse("wg0.conf", []byte(before+strings.Repeat("x = y\n", 200)), wgquick.Options{})
	var all wgquick.Errors
	if !errors.As(err, &all) || len(all) != 100 || all[99].Line != 102 {
		t.Errorf("%d errors, the last of %v", len(all), all[len(all)-1])
	}
	var one *wgquick.Error
	if !errors.As(err, &one) || one.Line != 3 {
		t.Errorf("the first error is %v", one)
	}
	_, warnings, err := wgquick.Parse("wg0.conf", []byte(before+peerLine+strings.Repeat("#name=\n", 200)), wgquick.Options{})
	if err != nil || len(warnings) != 100 || warnings[99].Line != 104 {
		t.Errorf("%d warnings, %v", len(warnings), err)
	}
}
