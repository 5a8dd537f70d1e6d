package up_test

import (
	"net"
	"net/netip"
	"testing"

	"tstun/internal/rig/race"
)

// connections is how many TestManyConnections has at once. A program that looks
// for races takes too long to open as many.
var connections = map[bool]int{false: 1000, true: 200}[race.Enabled]

// TestManyConnections has all connections through SOCKS5 open at once, and each
// carries what is its own.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	a, b := neighbours(t)
	ca, cb := configs("192.0.2.2:51820")
	b.up(cb)
	n := a.up(ca, "--mode", "userspace", "--socks5", "1080")
	go serveEcho(b.listen("10.9.0.2:7"))
	conns := make([]net.Conn, connections)
	if err := a.Do(func() (err error) {
		for i := range conns {
			if conns[i], err = net.DialTimeout("tcp", "127.0.0.1:1080", patience); err != nil {
				return err
			}
			t.Cleanup(func() { conns[i].Close() })
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	each(t, conns, func(i int, c net.Conn) error {
		_, err := socks(c, socksConnect, netip.MustParseAddrPort("10.9.0.2:7"))
		return err
	})
	each(t, conns, wantEcho) // all are open
	for _, c := range conns {
		c.Close()
	}
	n.stop()
}
