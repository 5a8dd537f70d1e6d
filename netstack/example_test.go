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
	// dial tcp 100.64.0.2:8: connection refused
}
