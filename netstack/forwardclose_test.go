package netstack_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tstun/netstack"
)

// Close ends what waits in Accept for the peer's last segment, too.
func TestForwardCloseWhileAccepting(t *testing.T) {
	accepted := make(chan error, 1)
	gw := alone(t, forwardAll(func(r *netstack.TCPRequest) {
		_, err := r.Accept()
		accepted <- err
	}, nil))
	receive(t, gw.w, syn("100.64.1.1:1000", "192.0.2.1:80"))
	sentTo(t, gw.w, 1) // the SYN-ACK
	gw.s.Close()
	select {
	case err := <-accepted:
		if err == nil {
			t.Error("accepted")
		}
	case <-time.After(patience):
		t.Fatal("Accept hangs")
	}
}

// Accept that begins as the stack is closed returns, wherever it was.
func TestForwardCloseAsAcceptBegins(t *testing.T) {
	for i := range 300 {
		begin := make(chan struct{})
		returned := make(chan error, 1)
		gw := alone(t, forwardAll(func(r *netstack.TCPRequest) {
			close(begin)
			_, err := r.Accept()
			returned <- err
		}, nil))
		receive(t, gw.w, syn("100.64.1.1:1000", "192.0.2.1:80"))
		<-begin
		for at := time.Now(); time.Since(at) < time.Duration(i)*200*time.Nanosecond; { // a little later each time
		}
		gw.s.Close()
		gw.w.Close()
		select {
		case <-returned:
		case <-time.After(patience):
			t.Fatalf("round %d: Accept hangs", i)
		}
	}
}

// Close, of either side and in any order, ends relays in the midst of traffic
// and leaves nothing behind.
func TestForwardCloseInTraffic(t *testing.T) {
	tcp := newDialer(serveBeyond(t, func(c *net.TCPConn) { io.Copy(c, c) }))
	udp := newDialer(serveUDPBeyond(t))
	for _, order := range []string{"stack first", "wrapper first", "at once"} {
		t.Run(order, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			peer, gw := gateway(t, forwardAll(netstack.RelayTCP(tcp.dial), netstack.RelayUDP(udp.dial)))
			wg := forwardedTraffic(t, peer)
			for c := gw.s.Counters(); c.Connections == 0 || c.Sessions == 0 || c.In.Bytes < 1<<18; c = gw.s.Counters() {
				time.Sleep(time.Millisecond)
			}
			began := time.Now()
			switch order {
			case "stack first":
				gw.s.Close()
				gw.w.Close()
			case "wrapper first":
				gw.w.Close()
				gw.s.Close()
			default:
				var both sync.WaitGroup
				both.Go(func() { gw.s.Close() })
				both.Go(func() { gw.w.Close() })
				both.Wait()
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("closing took %v", took)
			}
			if c := gw.s.Counters(); c.Sessions != 0 {
				t.Errorf("%d sessions are left", c.Sessions)
			}
			peer.s.Close()
			peer.w.Close()
			wg.Wait()
			goleak.VerifyNone(t, before)
		})
	}
}

// forwardedTraffic opens connections and sessions beyond until the peer's stack
// is closed.
func forwardedTraffic(t *testing.T, peer *node) *sync.WaitGroup {
	var wg sync.WaitGroup
	until := func(network string, use func(net.Conn)) {
		wg.Go(func() {
			for port := uint16(1); ; port++ {
				one, cancel := context.WithTimeout(context.Background(), time.Second)
				c, err := peer.s.DialContext(one, network, netip.AddrPortFrom(beyond[port%2], port).String())
				cancel()
				if isClosed(err) {
					return
				}
				if err == nil {
					use(c)
					c.Close()
				}
			}
		})
	}
	for range 4 {
		until("tcp", func(c net.Conn) {
			c.SetDeadline(time.Now().Add(time.Second))
			go io.Copy(io.Discard, c)
			io.CopyN(c, pattern(3), 100_000)
		})
		until("udp", func(c net.Conn) {
			c.SetDeadline(time.Now().Add(10 * time.Millisecond))
			c.Write(make([]byte, 3000))
			c.Read(make([]byte, 3000))
		})
	}
	return &wg
}
