package netstack_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"

	"tstun"
	"tstun/filter"
	"tstun/netstack"
)

// Two nodes in one program, joined by a goroutine for each direction where
// a tunnel would have WireGuard.
func Example() {
	newNode := func(addr string) (*tstun.Wrapper, *netstack.Stack) {
		w := tstun.Wrap(nil, tstun.NewFake())
		w.SetFilter(filter.NewAllowAll(nil))
		s, err := netstack.New(w, netstack.Config{Addrs: []netip.Addr{netip.MustParseAddr(addr)}})
		if err != nil {
			panic(err)
		}
		return w, s
	}
	w1, s1 := newNode("100.64.0.1")
	w2, s2 := newNode("100.64.0.2")
	defer w1.Close()
	defer w2.Close()
	defer s1.Close()
	defer s2.Close()
	go cable(w1, w2, nil)
	go cable(w2, w1, nil)

	l, err := s2.Listen("tcp", "100.64.0.2:7")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.Copy(c, c)
		}
	}()

	c, err := s1.DialContext(context.Background(), "tcp", "100.64.0.2:7")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(c, "hello from ", c.RemoteAddr().(*net.TCPAddr).IP)
	buf := make([]byte, 100)
	n, _ := c.Read(buf)
	fmt.Println(string(buf[:n]))

	_, err = s1.DialContext(context.Background(), "tcp", "100.64.0.2:8")
	fmt.Println(err)
	// Output:
	// hello from 100.64.0.2
	// dial tcp 100.64.0.2:8: connect: connection refused
}

// A gateway: what the peer sends to port 80 of a network goes to where the
// program dials, here always to a server on loopback.
func ExampleForward() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	go func() {
		if c, err := server.Accept(); err == nil {
			fmt.Fprint(c, "hello from beyond")
			c.Close()
		}
	}()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		fmt.Println("the peer wants", address)
		return new(net.Dialer).DialContext(ctx, network, server.Addr().String())
	}

	w := tstun.Wrap(nil, tstun.NewFake())
	w.SetFilter(filter.NewAllowAll(nil)) // a gateway's own rules would stand here
	gateway, err := netstack.New(w, netstack.Config{
		Addrs: []netip.Addr{netip.MustParseAddr("100.64.0.1")},
		Forward: &netstack.Forward{Rules: []netstack.ForwardRule{{
			Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			Ports:    []filter.PortRange{{First: 80, Last: 80}},
			TCP:      netstack.RelayTCP(dial),
		}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	defer gateway.Close()

	peerW := tstun.Wrap(nil, tstun.NewFake())
	peerW.SetFilter(filter.NewAllowAll(nil))
	peer, err := netstack.New(peerW, netstack.Config{Addrs: []netip.Addr{netip.MustParseAddr("100.64.0.2")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer peerW.Close()
	defer peer.Close()
	go cable(w, peerW, nil)
	go cable(peerW, w, nil)

	c, err := peer.DialContext(context.Background(), "tcp", "192.0.2.7:80")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := io.ReadAll(c)
	fmt.Println(string(text))
	// Output:
	// the peer wants 192.0.2.7:80
	// hello from beyond
}
