package tunnel_test

import (
	"net"
	"strings"
	"testing"

	"tstun/tundev"
	"tstun/tunnel"
)

// A host without a route does not reach the endpoint.
func TestDiagnoseNoRoute(t *testing.T) {
	ns := hosts(t)[0]
	_, c := linked(t)
	c.Peers[0].Endpoint = "198.51.100.1:9"
	tun, err := startIn(within(t), ns, c)
	if err != nil {
		t.Fatal(err)
	}
	defer tun.Close()
	_ = ns.Do(func() error {
		if found := tun.Diagnose(briefly(t)); codes(t, found) != "endpoint-unreachable" || !strings.Contains(found[0].Evidence, "network is unreachable") {
			t.Errorf("found %v", found)
		}
		return nil
	})
}

// In kernel mode the host's network is looked at.
func TestDiagnoseKernel(t *testing.T) {
	ns, c := hosts(t), kernels(t)[0]
	c.Peers[0].Required = false
	c.Peers = append(c.Peers, tunnel.Peer{PublicKey: kernels(t)[1].Peers[0].PublicKey, AllowedIPs: prefixes("192.0.2.128/25")})
	tun, err := startIn(within(t), ns[0], c)
	if err != nil {
		t.Fatal(err)
	}
	defer ns[0].Do(tun.Close)
	diagnose := func() (found []tundev.Finding) {
		_ = ns[0].Do(func() error { found = tun.Diagnose(briefly(t)); return nil })
		return found
	}
	if got := codes(t, diagnose()); !strings.Contains(got, "allowed-ips-overlap") || strings.Contains(got, "fwmark") {
		t.Errorf("found %s", got)
	}
	conn, err := net.Dial("unix", "/var/run/wireguard/"+c.Name+".sock")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("set=1\nfwmark=0\n\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if got := codes(t, diagnose()); !strings.Contains(got, "fwmark") {
		t.Errorf("without the mark: %s", got)
	}
}
