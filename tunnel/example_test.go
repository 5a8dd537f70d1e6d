package tunnel_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"tstun/key"
	"tstun/tunnel"
)

// Two tunnels in one process, without any right, talk to each other.
func Example() {
	ctx := context.Background()
	web, laptop := key.NewPrivate(), key.NewPrivate()
	a, err := tunnel.Start(ctx, tunnel.Config{
		Mode:       tunnel.ModeUserspace,
		PrivateKey: web,
		Addresses:  []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
		Peers:      []tunnel.Peer{{Name: "laptop", PublicKey: laptop.Public(), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()
	b, err := tunnel.Start(ctx, tunnel.Config{
		Mode:       tunnel.ModeUserspace,
		PrivateKey: laptop,
		Addresses:  []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")},
		Peers: []tunnel.Peer{{
			Name: "web", PublicKey: web.Public(), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")},
			Endpoint: fmt.Sprintf("127.0.0.1:%d", a.Status().ListenPort), Required: true,
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	l, err := a.Listen(ctx, "tcp", ":80")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		c, err := l.Accept()
		if err == nil {
			fmt.Fprintf(c, "hello, %v", c.RemoteAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Addr())
			c.Close()
		}
	}()
	c, err := b.DialContext(ctx, "tcp", "10.0.0.1:80")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := io.ReadAll(c)
	fmt.Printf("%s %v\n", text, err)
	fmt.Println(b.Status().Peers[0].Name, b.Status().Peers[0].Up)
	// Output:
	// hello, 10.0.0.2 <nil>
	// web true
}
