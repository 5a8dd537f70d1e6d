package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answer returns the status and body of a page.
func answer(t *testing.T, address, path string) (int, string) {
	t.Helper()
	c := http.Client{Timeout: inTime, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// --metrics serves what the tunnel counts, with the peer's name, also of the
// process in its confinement; it is ready once the required peer is there. Where
// others can read that, a line says so.
func TestUpMetrics(t *testing.T) {
	f := newUpFiles(t, "wg0", 0)
	r := startUp(t, nil, nil, f.path("wg0.conf"), "--mode", "userspace", "--require", "office", "--metrics", "0", "--metrics", "0.0.0.0:0")
	at, _ := r.await(t, 0, "metrics listens")
	r.await(t, 0, "no program can use this tunnel")
	r.await(t, 0, "reads the names, public keys and traffic of all peers")
	up, _ := r.await(t, 0, "the tunnel runs")
	if code, body := answer(t, at.Address, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "office") {
		t.Errorf("without the peer: %d %q", code, body)
	}
	f.office(t, fmt.Sprintf("127.0.0.1:%d", up.ListenPort))
	if code, body := answer(t, at.Address, "/readyz"); code != http.StatusOK || body != "ready\n" {
		t.Errorf("with the peer: %d %q", code, body)
	}
	if code, body := answer(t, at.Address, "/healthz"); code != http.StatusOK || body != "alive\n" {
		t.Errorf("%d %q", code, body)
	}
	code, body := answer(t, at.Address, "/metrics")
	for _, want := range []string{
		`wireguard_sent_bytes_total{allowed_ips="10.77.0.2/32",friendly_name="office",interface="wg0",public_key="` + f.peer.Public().String() + `"} `,
		`tstun_tunnel_info{interface="wg0",mode="userspace"} 1`, "\nprocess_resident_memory_bytes ", "\ngo_build_info{",
	} {
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d without %q:\n%s", code, want, body)
		}
	}
	for _, secret := range []string{f.own.Reveal(), f.peer.Reveal(), f.preshared.Reveal()} {
		if strings.Contains(body, secret) {
			t.Error("a secret shows")
		}
	}
	r.ends(t)
}
