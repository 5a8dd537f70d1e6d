package wgquick_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"tstun/tunnel"
	"tstun/tunnel/wgquick"
)

var allowed = wgquick.Options{Hooks: wgquick.AllowHooks}

func TestMarshal(t *testing.T) {
	c, _, err := wgquick.Parse("wg0.conf", []byte(whole), allowed)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[Interface]
PrivateKey = ` + privateKey + `
ListenPort = 51820
FwMark = 0xca6c
Address = 10.192.122.1/24, fd00::1/64, 10.10.0.1/32
DNS = 10.200.100.1
DNS = corp.example
MTU = 1380
Table = 1234
PreUp = echo %i
PostUp = ip rule add ipproto tcp dport 22 table 1234
PostUp = echo up
PreDown = echo down
PostDown = echo gone

[Peer]
# friendly_name = Anna's phone
PublicKey = ` + peerKey + `
PresharedKey = ` + sharedKey + `
AllowedIPs = 10.192.122.3/32, 10.192.124.0/24, fd00:1::/48
Endpoint = vpn.example.com:51820
PersistentKeepalive = 25

[Peer]
# friendly_name = office
PublicKey = ` + otherKey + `
Endpoint = [2001:db8::1]:51820
`
	got, err := wgquick.Marshal(c)
	if err != nil || string(got) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
}

// What a file cannot hold is an error, and no line of another meaning.
func TestMarshalRefuses(t *testing.T) {
	for name, change := range map[string]func(*tunnel.Config){
		"hook of two lines":     func(c *tunnel.Config) { c.Hooks.PostUp = []string{"a\nSaveConfig = true"} },
		"hook with a comment":   func(c *tunnel.Config) { c.Hooks.PreUp = []string{"a # b"} },
		"hook with spaces":      func(c *tunnel.Config) { c.Hooks.PreDown = []string{" a"} },
		"empty hook":            func(c *tunnel.Config) { c.Hooks.PostDown = []string{""} },
		"name of two lines":     func(c *tunnel.Config) { c.Peers[0].Name = "a\nEndpoint = 192.0.2.9:9" },
		"name with an escape":   func(c *tunnel.Config) { c.Peers[0].Name = "a\x1b[1m" },
		"endpoint of two lines": func(c *tunnel.Config) { c.Peers[1].Endpoint = "192.0.2.1:1\nPersistentKeepalive = 1" },
		"endpoint without port": func(c *tunnel.Config) { c.Peers[1].Endpoint = "192.0.2.1" },
		"endpoint in words":     func(c *tunnel.Config) { c.Peers[1].Endpoint = "192.0.2.1:domain" },
		"domain of two lines":   func(c *tunnel.Config) { c.SearchDomains = []string{"a\nMTU = 1"} },
		"zone of two lines": func(c *tunnel.Config) {
			c.DNS = []netip.Addr{netip.MustParseAddr("fe80::1").WithZone("a\nMTU = 1400")}
			c.SearchDomains, c.MTU = nil, 0
		},
		"no key of a peer":  func(c *tunnel.Config) { c.Peers[0].PublicKey = c.PrivateKey.Public() },
		"key twice":         func(c *tunnel.Config) { c.Peers[0].PublicKey = c.Peers[1].PublicKey },
		"MTU":               func(c *tunnel.Config) { c.MTU = 67 },
		"table":             func(c *tunnel.Config) { c.Table = -2 },
		"host bits":         func(c *tunnel.Config) { c.Peers[0].AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")} },
		"no prefix":         func(c *tunnel.Config) { c.Addresses = []netip.Prefix{{}} },
		"name of interface": func(c *tunnel.Config) { c.Name = "a/b" },
	} {
		c, _, err := wgquick.Parse("wg0.conf", []byte(whole), allowed)
		if err != nil {
			t.Fatal(err)
		}
		change(c)
		if got, err := wgquick.Marshal(c); err == nil || got != nil {
			t.Errorf("%s: no error\n%s", name, got)
		} else if holdsSecret(err.Error()) {
			t.Errorf("%s: a secret is shown: %v", name, err)
		}
	}
}

// A Config without peers, key and name can be written, too.
func TestMarshalZero(t *testing.T) {
	got, err := wgquick.Marshal(&tunnel.Config{})
	if err != nil || string(got) != "[Interface]\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// holdsSecret reports whether a text has a part of one of the secrets in whole.
func holdsSecret(text string) bool {
	for _, secret := range []string{privateKey, sharedKey} {
		for i := 0; i+12 <= len(secret); i++ {
			if strings.Contains(text, secret[i:i+12]) {
				return true
			}
		}
	}
	return false
}

// FuzzParse gives any text to Parse. What is refused has its place in the text,
// and shows no secret; what is taken comes back from what Marshal writes.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	for i := range len(oddities) + 20 {
		f.Add(generate(i))
	}
	for _, l := range strange {
		f.Add("[Interface]\n" + l + "\n[Peer]\n" + l)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, warnings, err := wgquick.Parse("wg0.conf", []byte(text), allowed)
		for _, w := range warnings {
			checkPlace(t, text, w.Position)
		}
		if err != nil {
			for i, e := range err.(wgquick.Errors) {
				checkPlace(t, text, e.Position)
				if i > 0 && e.Line < err.(wgquick.Errors)[i-1].Line {
					t.Errorf("not in the order of the file: %v", err)
				}
			}
			return
		}
		data, err := wgquick.Marshal(c)
		if err != nil {
			t.Fatalf("%v\n%s", err, fields(c))
		}
		again, _, err := wgquick.Parse("wg0.conf", data, allowed)
		if err != nil || !same(again, c) {
			t.Fatalf("%v\n%s\n%s", err, fields(again), fields(c))
		}
	})
}

func same(a, b *tunnel.Config) bool { return reflect.DeepEqual(a, b) }

// checkPlace fails if a place is not in a text: at a character, or behind the
// last of a line.
func checkPlace(t *testing.T, text string, p wgquick.Position) {
	t.Helper()
	if p.Line == 0 && p.Column == 0 {
		return
	}
	lines := strings.Split(text, "\n")
	if p.Line < 1 || len(lines) < p.Line || p.Column < 1 || len([]rune(lines[p.Line-1]))+1 < p.Column {
		t.Errorf("%v is not in %q", p, text)
	}
}

// FuzzSecrets puts the secrets of a file anywhere into it. No error and no
// warning shows a part of one.
func FuzzSecrets(f *testing.F) {
	for i := range len(strange) {
		f.Add("[Interface]\n"+strange[i]+"\n", uint16(i*7), uint16(i*13))
	}
	for _, before := range []string{"PrivateKey = ", "PrivateKey ", "PrivateKey: ", "PrivatKey = ", "ListenPort = ", "FwMark=", "Address=", "DNS=1.1.1.1,", "MTU=", "Table=", "SaveConfig=", "[", "PostUp = ", ""} {
		f.Add("[Interface]\n"+before, uint16(60), uint16(0))
		f.Add("[Interface]\n[Peer]\nAllowedIPs = 10.0.0.0/8, \nEndpoint = \n"+before, uint16(1000), uint16(44))
	}
	f.Fuzz(func(t *testing.T, text string, at, at2 uint16) {
		if holdsSecret(text) {
			return
		}
		for i, secret := range []string{privateKey, sharedKey} {
			n := int([]uint16{at, at2}[i]) % (len(text) + 1)
			text = text[:n] + secret + text[n:]
		}
		var said strings.Builder
		for _, mode := range []wgquick.HookMode{wgquick.RefuseHooks, wgquick.AllowHooks, wgquick.IgnoreHooks} {
			c, warnings, err := wgquick.Parse("wg0.conf", []byte(text), wgquick.Options{Hooks: mode})
			fmt.Fprintln(&said, c, warnings)
			if err != nil {
				said.WriteString(withHints(t, err))
			}
		}
		if holdsSecret(said.String()) {
			t.Errorf("a secret is shown:\n%s\nof\n%q", said.String(), text)
		}
	})
}
