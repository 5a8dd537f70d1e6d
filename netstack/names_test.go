package netstack_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"tstun/netstack"
)

// A Stack with a Resolver dials names, of hosts and of ports; one without says
// what to do.
func TestDialByName(t *testing.T) {
	a, b := newNode(t, 0), newNode(t, 1)
	connect(t, a, b, nil)
	b.start(t)
	s, err := netstack.New(a.w, netstack.Config{Addrs: a.addrs(), Resolver: &netstack.Resolver{
		Hosts: map[string][]netip.Addr{"web": {b.v6, b.v4}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); a.w.Close() })
	mustListen(t, b.s, "tcp", ":80")
	for network, want := range map[string]netip.Addr{"tcp": b.v6, "tcp4": b.v4, "tcp6": b.v6} {
		for _, port := range []string{"80", "http"} {
			c := mustDial(t, s, network, net.JoinHostPort("Web", port))
			if got := c.RemoteAddr().String(); got != b.on(want, 80) {
				t.Errorf("%s to port %s reached %s", network, port, got)
			}
		}
	}
	var unknown *net.DNSError
	if _, err := s.DialContext(ctx(t), "tcp", "nobody:80"); !errors.As(err, &unknown) || unknown.Name != "nobody" {
		t.Errorf("an unknown name: %v", err)
	}
	if _, err := b.s.DialContext(ctx(t), "tcp", "web:80"); !errors.As(err, &unknown) || !strings.Contains(unknown.Err, "Resolver") {
		t.Errorf("a stack without a Resolver: %v", err)
	}
}
