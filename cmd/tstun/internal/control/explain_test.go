package control_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"tstun/key"
	"tstun/tunnel"
)

const explainedPolicy = `{"local": ["10.9.0.1", "10.9.0.7"], "accept": [
	{"proto": "udp", "src": "10.9.0.2", "dst": "10.9.0.1:53"},
	{"proto": "tcp", "src": "10.9.0.0/24", "dst": "*:80"},
	{"proto": "tcp", "src": "10.8.0.9", "dst": "*:99", "except": "10.9.0.1"}]}`

// startExplained starts a tunnel with explainedPolicy in a file.
func startExplained(t *testing.T) (tun *tunnel.Tunnel, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "policy.hujson")
	if err := os.WriteFile(file, []byte(explainedPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	tun = start(t, tunnel.Config{
		Name: "node", Mode: tunnel.ModeUserspace, PrivateKey: key.NewPrivate(), Policy: file,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")},
	})
	return tun, file
}

// GET /v1/explain says which rule allows a flow, or which is nearest and what it lacks,
// in both directions.
func TestExplain(t *testing.T) {
	tun, _ := startExplained(t)
	s, _ := serve(t, tun)
	tests := []struct{ query, want string }{
		{"src=10.9.0.2&dst=10.9.0.1:80", `{"proto":"tcp","src":"10.9.0.2","dst":"10.9.0.1:80","direction":"in","response":"accept","stage":"rules","rule":1,"text":"tcp from 10.9.0.0/24 to 0.0.0.0/0:80, [::/0]:80"}`},
		{"src=10.9.0.2&dst=10.9.0.1:53&proto=udp&direction=in", `{"proto":"udp","src":"10.9.0.2","dst":"10.9.0.1:53","direction":"in","response":"accept","stage":"rules","rule":0,"text":"udp from 10.9.0.2/32 to 10.9.0.1/32:53"}`},
		{"src=10.9.0.2&dst=10.9.0.1:53", `{"proto":"tcp","src":"10.9.0.2","dst":"10.9.0.1:53","direction":"in","response":"drop","stage":"rules","reason":"no-rule","text":"No rule allows this new flow.",
			"nearest":"rule 1 comes nearest: port 53 is not in 80","nearestRule":1,"lacks":["port"]}`},
		{"src=10.8.0.2&dst=10.9.0.1:53", `{"proto":"tcp","src":"10.8.0.2","dst":"10.9.0.1:53","direction":"in","response":"drop","stage":"rules","reason":"no-rule","text":"No rule allows this new flow.",
			"nearest":"rule 1 comes nearest: source 10.8.0.2 is not in 10.9.0.0/24; port 53 is not in 80","nearestRule":1,"lacks":["source","port"]}`},
		{"src=10.8.0.9&dst=10.9.0.1:99", `{"proto":"tcp","src":"10.8.0.9","dst":"10.9.0.1:99","direction":"in","response":"drop","stage":"rules","reason":"no-rule","text":"No rule allows this new flow.",
			"nearest":"rule 2 comes nearest: 10.9.0.1 is in its \"except\"","nearestRule":2}`},
		{"src=10.9.0.1&dst=10.9.0.2:53&direction=out", `{"proto":"tcp","src":"10.9.0.1","dst":"10.9.0.2:53","direction":"out","response":"accept","stage":"out","answered":true,
			"text":"The host opens this flow: it goes out, which needs no rule, and its answers come in."}`},
		{"src=10.9.0.1&dst=127.0.0.1:53&direction=out", `{"proto":"tcp","src":"10.9.0.1","dst":"127.0.0.1:53","direction":"out","response":"drop-silently","stage":"address","reason":"martian","answered":false,"text":""}`},
	}
	for _, tt := range tests {
		code, text := ask(t, s, "GET", "/v1/explain?"+tt.query, nil)
		var got, want map[string]any
		if err := json.Unmarshal([]byte(text), &got); err != nil || code != 200 {
			t.Fatalf("%s: %d %s", tt.query, code, text)
		}
		if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
			t.Fatal(err)
		}
		if want["text"] == "" { // whatever it is
			want["text"] = got["text"]
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.query, text, tt.want)
		}
	}
}
