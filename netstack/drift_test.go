package netstack_test

import (
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tstun"
	"tstun/netstack"
)

// After everything that peers can do to an account, all at once, nothing is
// left of it once everything is closed: no byte, no account, no endpoint.
func TestMemoryComesBack(t *testing.T) {
	x := newStar(t)
	s := x.server.s
	s.SetTimeWait(time.Millisecond)
	l := mustListen(t, s, "tcp", ":80")
	pc := mustListenPacket(t, x.server, 7)
	pc.SetReadBuffer(8 << 10)
	var servers, clients sync.WaitGroup
	servers.Go(func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			servers.Go(func() { endSomehow(c) })
		}
	})
	for i := range x.clients {
		x.clients[i].s.SetTimeWait(time.Millisecond)
		for range 8 {
			clients.Go(func() {
				for range 10 {
					if c, err := x.clients[i].s.DialContext(ctx(t), "tcp", x.server.on(x.server.v4, 80)); err == nil {
						endSomehow(c)
					}
					if u, err := x.clients[i].s.DialContext(ctx(t), "udp", x.server.on(x.server.v4, 7)); err == nil {
						u.Write(make([]byte, rand.N(2000)))
						u.Close()
					}
				}
			})
		}
	}
	stop := make(chan struct{})
	servers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				s.MemoryUsed() // sweeps in the middle of it
			}
		}
	})
	clients.Wait()
	close(stop)
	l.Close()
	pc.Close()
	for _, c := range x.clients {
		c.s.Close() // their last segments may be lost, and are not sent again
	}
	servers.Wait()
	awaitNothing(t, s)
}

// endSomehow sends and receives a little, or much that is not read, and ends the
// connection in one of the ways there are.
func endSomehow(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Duration(rand.N(20)) * time.Millisecond))
	c.Write(make([]byte, rand.N(1<<rand.N(20)+1)))
	switch rand.N(4) {
	case 0:
		c.(*netstack.TCPConn).SetLinger(0)
	case 1:
		c.(*netstack.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	case 2:
		io.Copy(io.Discard, c)
	}
}

// awaitNothing waits until the stack has no connection, which may be saying
// goodbye, and looks for what is left.
func awaitNothing(t *testing.T, s *netstack.Stack) {
	t.Helper()
	for all := ctx(t); s.MemoryUsed() != 0 || s.Accounts() != 0; time.Sleep(time.Millisecond) {
		if all.Err() != nil {
			t.Fatalf("%d bytes of %d accounts and %d endpoints are left", s.MemoryUsed(), s.Accounts(), s.Endpoints())
		}
	}
}

// A connection goes on being charged to its peer, although that lost its
// address for a while, as when a program sets its peers one by one.
func TestPeerThatComesBack(t *testing.T) {
	x := newStar(t)
	newSink(t, x.clients[0], 80)
	c := mustDial(t, x.server.s, "tcp", x.clients[0].on(x.clients[0].v4, 80)).(*netstack.TCPConn)
	peers := []tstun.Peer{{ID: 1, Prefixes: []netip.Prefix{netip.PrefixFrom(x.clients[0].v4, 32)}}}
	for _, set := range [][]tstun.Peer{nil, peers, nil, peers} {
		if err := x.server.w.SetPeers(set); err != nil {
			t.Fatal(err)
		}
		x.server.s.MemoryUsed()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if !c.IsCharged() {
			t.Errorf("with %d peers, what the connection holds is charged to nobody", len(set))
		}
	}
}
