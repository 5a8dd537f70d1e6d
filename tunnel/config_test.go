package tunnel_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"tstun/key"
	"tstun/tunnel"
)

func config() (c tunnel.Config, secrets []string) {
	private, shared := key.NewPrivate(), key.NewPreshared()
	c = tunnel.Config{
		Name:       "wg0",
		PrivateKey: private,
		ListenPort: 51820,
		Addresses:  []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64")},
		Table:      tunnel.TableOff,
		Hooks:      tunnel.Hooks{PostUp: []string{"login --password hunter2"}},
		Peers:      []tunnel.Peer{{Name: "laptop", PublicKey: key.NewPrivate().Public(), PresharedKey: shared, Endpoint: "vpn.example.com:51820"}},
	}
	for _, raw := range [][32]byte{private.Raw32(), shared.Raw32()} {
		secrets = append(secrets, fmt.Sprintf("%x", raw[:6]), strings.Trim(fmt.Sprint(raw[:6]), "[]"))
	}
	return c, append(secrets, private.Reveal(), shared.Reveal(), "hunter2")
}

// However a Config or a part of it is written, no secret is in it.
func TestConfigHidesSecrets(t *testing.T) {
	c, secrets := config()
	for _, v := range []any{c, &c, c.Peers[0], c.Peers, c.Hooks, &c.Hooks, map[string]tunnel.Config{"x": c}, struct{ C tunnel.Config }{c}} {
		var b bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
		for _, secret := range secrets {
			if strings.Contains(b.String(), secret) {
				t.Errorf("%T shows %s:\n%s", v, secret, &b)
			}
		}
	}
}

func TestConfigForms(t *testing.T) {
	c, _ := config()
	peer := c.Peers[0].PublicKey.String()
	text, err := json.Marshal(c)
	for _, tt := range []struct{ got, want string }{
		{fmt.Sprintf("%v", c), "wg0 10.0.0.1/24 fd00::1/64, 1 peer"},
		{fmt.Sprint(tunnel.Config{}), ", 0 peers"},
		{fmt.Sprint(c.Peers), "[laptop]"},
		{tunnel.Peer{PublicKey: c.Peers[0].PublicKey}.String(), peer},
		{fmt.Sprint(c.Hooks, tunnel.Hooks{}), "1 hook 0 hooks"},
		{fmt.Sprint(tunnel.TableAuto, tunnel.TableOff, tunnel.Table(1234)), "auto off 1234"},
		{fmt.Sprint(c.LogValue()), "[name=wg0 addresses=[10.0.0.1/24 fd00::1/64] listenPort=51820 peers=1]"},
		{string(text), `{"name":"wg0","privateKey":"(hidden)","listenPort":51820,"addresses":["10.0.0.1/24","fd00::1/64"],"table":"off",` +
			`"peers":[{"name":"laptop","publicKey":"` + peer + `","presharedKey":"(hidden)","endpoint":"vpn.example.com:51820"}]}`},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
	if err != nil {
		t.Error(err)
	}
}
