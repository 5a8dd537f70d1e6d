package proxy_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"

	"tstun/cmd/tstun/internal/proxy"
)

// faulty is a listener whose first Accepts fail.
type faulty struct {
	net.Listener
	err   error
	times atomic.Int64
}

func (l *faulty) Accept() (net.Conn, error) {
	if l.times.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: l.err}
	}
	return l.Listener.Accept()
}

// A lack of file descriptors passes. Other errors end Serve.
func TestAcceptErrors(t *testing.T) {
	echo := startEcho(t)
	serves := map[string]func(context.Context, net.Listener) error{
		"socks5":  (&proxy.SOCKS5{Network: newLab()}).Serve,
		"http":    (&proxy.HTTP{Network: newLab()}).Serve,
		"forward": (&proxy.Forward{To: newLab(), Destination: proxy.Endpoint{Host: far4.String(), Port: port(echo)}}).ServeTCP,
	}
	for name, serve := range serves {
		t.Run(name, func(t *testing.T) {
			l := &faulty{Listener: listen(t), err: syscall.EMFILE}
			l.times.Store(2)
			start(t, func(ctx context.Context) error { return serve(ctx, l) })
			c := dial(t, l.Addr().String())
			send(t, c, []byte("\x05\x01\x00\r\n\r\n")) // something is the answer in each case
			receive(t, c, 2)

			broken := &faulty{Listener: listen(t), err: syscall.EINVAL}
			broken.times.Store(1)
			if err := serve(t.Context(), broken); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("got %v", err)
			}
			if broken.Close() == nil {
				t.Error("the listener is open")
			}
		})
	}
}

func TestForwardUDPSocketCloses(t *testing.T) {
	c := listenUDP(t)
	c.Close()
	if err := (&proxy.Forward{To: newLab()}).ServeUDP(t.Context(), c); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestHostNames(t *testing.T) {
	for host, n := range map[string]proxy.Host{"far.example": {Names: newLab()}, "127.0.0.1": {}} {
		got, err := n.LookupNetIP(t.Context(), "ip", host)
		want := map[string]netip.Addr{"far.example": far4, "127.0.0.1": near4}[host]
		if err != nil || len(got) != 1 || got[0].Unmap() != want {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
}

// A client that comes by IPv6 gets a relay there.
func TestAssociateIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	echo := startUDPEcho(t)
	start(t, func(ctx context.Context) error { return (&proxy.SOCKS5{Network: newLab()}).Serve(ctx, l) })
	c := greet(t, l.Addr().String())
	send(t, c, request(3, "::", 0))
	code, relay := readReply(t, c)
	if code != 0 || relay.Addr() != near6 {
		t.Fatalf("reply %d, relay at %v", code, relay)
	}
	client, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	sendTo(t, client, relay, datagram(far4.String(), port(echo.LocalAddr()), "hello"))
	wantFrom(t, client, relay, datagram(far4.String(), port(echo.LocalAddr()), "hello"))
}
