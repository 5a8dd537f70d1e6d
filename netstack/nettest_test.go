package netstack_test

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"tstun/netstack"
)

// Each case has a network of its own, so that nothing of one is seen in the
// next.
func TestNetConn(t *testing.T) {
	for i, version := range []string{"IPv4", "IPv6"} {
		t.Run(version, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := backToBack(t)
				l := mustListen(t, b.s, "tcp", b.on(b.addrs()[i], 0))
				if c1, err = a.s.DialContext(ctx(t), "tcp", l.Addr().String()); err != nil {
					return nil, nil, nil, err
				}
				c2, err = l.Accept()
				return c1, c2, func() { c1.Close(); c2.Close() }, err
			})
		})
	}
}

// What nettest does to connections, for a socket of datagrams: all methods at
// once, and Close in the middle.
func TestPacketConnConcurrently(t *testing.T) {
	a, b := backToBack(t)
	for i, version := range []string{"udp4", "udp6"} {
		t.Run(version, func(t *testing.T) {
			pc, err := b.s.ListenPacket(version, b.on(b.addrs()[i], 0))
			if err != nil {
				t.Fatal(err)
			}
			c := mustDial(t, a.s, version, pc.LocalAddr().String()).(*netstack.UDPConn)
			sockets := []*netstack.UDPConn{pc.(*netstack.UDPConn), c}
			to := netip.MustParseAddrPort(c.LocalAddr().String())
			var wg sync.WaitGroup
			for _, s := range sockets {
				for _, f := range []func([]byte) error{
					func(p []byte) error { _, err := s.Read(p); return err },
					func(p []byte) error { _, _, err := s.ReadFrom(p); return err },
					func(p []byte) error { _, _, _, _, err := s.ReadMsgUDP(p, nil); return err },
					func(p []byte) error { _, err := c.Write(p); return err },
					func(p []byte) error { _, err := sockets[0].WriteToUDPAddrPort(p, to); return err },
					func([]byte) error { return s.SetDeadline(time.Now().Add(time.Millisecond)) },
					func([]byte) error { return s.SetReadDeadline(time.Time{}) },
					func([]byte) error { return s.SetReadBuffer(1 << 16) },
					func([]byte) error { return s.SetWriteBuffer(1 << 16) },
					func([]byte) error { s.LocalAddr(); s.RemoteAddr(); return s.SetWriteDeadline(past) },
				} {
					wg.Go(func() { // until the socket is closed
						for p := make([]byte, 100); !isClosed(f(p)); {
						}
					})
				}
			}
			time.Sleep(5 * moment)
			for _, s := range sockets {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			wg.Wait()
		})
	}
}
