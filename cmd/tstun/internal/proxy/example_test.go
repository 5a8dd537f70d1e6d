package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"tstun/cmd/tstun/internal/proxy"
)

// A port of the host is forwarded to what a rule says, here on the host too.
func ExampleForward() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		if c, err := server.Accept(); err == nil {
			fmt.Fprint(c, "hello from the other side")
			c.Close()
		}
	}()
	rule, err := proxy.ParseForward("tcp:0=" + server.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := net.Listen(rule.Network, rule.Listen.String())
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	served := make(chan error)
	go func() {
		f := &proxy.Forward{To: proxy.Host{}, Destination: rule.To}
		served <- f.ServeTCP(ctx, l)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	io.Copy(os.Stdout, c)
	c.Close()
	server.Close()
	cancel()
	fmt.Println("\nServeTCP:", <-served)
	// Output:
	// hello from the other side
	// ServeTCP: <nil>
}

func ExampleParseForward() {
	_, err := proxy.ParseForward("tcp:8080=web.internal")
	fmt.Println(err)
	// Output: "tcp:8080=web.internal", column 22: there is no port: write tcp:8080=10.0.0.2:80
}

// Connect refuses what does not leave the host.
func ExampleConnect() {
	err := proxy.Connect(context.Background(), proxy.Host{}, proxy.Endpoint{Host: "127.0.0.1", Port: 22}, strings.NewReader(""), os.Stdout)
	fmt.Println(err)
	// Output: connect 127.0.0.1:22: destination is not allowed: 127.0.0.1 is the host's loopback
}
