package netstack_test

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"tstun"
	"tstun/netstack"
)

// What is for a loopback address does not leave to peers.
func TestLoopbackDoesNotLeave(t *testing.T) {
	a, _ := backToBack(t)
	pc, err := a.s.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, to := range []string{"127.0.0.1:80", "127.9.9.9:80", "[::1]:80"} {
		at := netip.MustParseAddrPort(to)
		calls := map[string]func() error{
			"dial tcp": func() error { _, err := a.s.DialContext(ctx(t), "tcp", to); return err },
			"dial udp": func() error { _, err := a.s.DialContext(ctx(t), "udp", to); return err },
			"write":    func() error { _, err := pc.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(at)); return err },
			"ping":     func() error { _, err := a.s.Ping(ctx(t), at.Addr()); return err },
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, syscall.ENETUNREACH) {
				t.Errorf("%s %s: %v", name, to, err)
			}
		}
	}
	if n := a.s.Counters().Out.Packets; n != 0 {
		t.Errorf("%d packets left", n)
	}
}

// A stack can have a loopback address.
func TestOwnLoopback(t *testing.T) {
	w := tstun.Wrap(nil, tstun.NewFake())
	s, err := netstack.New(w, netstack.Config{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); w.Close() })
	mustListen(t, s, "tcp", "127.0.0.1:80")
	mustDial(t, s, "tcp", "127.0.0.1:80")
}
