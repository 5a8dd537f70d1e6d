package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"tstun"
	"tstun/cmd/tstun/internal/proxy"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/netstack"
)

// tunnelNetwork is one end of a tunnel, with names.
type tunnelNetwork struct {
	*netstack.Stack
	names
}

type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if addrs, ok := n[host]; ok {
		return append([]netip.Addr(nil), addrs...), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

var tunnelAddrs = [2][]netip.Addr{
	{netip.MustParseAddr("10.7.0.1"), netip.MustParseAddr("fd07::1")},
	{netip.MustParseAddr("10.7.0.2"), netip.MustParseAddr("fd07::2")},
}

// newTunnel joins two userspace stacks by WireGuard over loopback.
func newTunnel(t testing.TB) (ends [2]tunnelNetwork) {
	t.Helper()
	var nodes [2]*rig.Node
	for i, addrs := range tunnelAddrs {
		w := tstun.Wrap(nil, tstun.NewFake())
		w.SetFilter(filter.NewAllowAll(nil))
		s, err := netstack.New(w, netstack.Config{Addrs: addrs})
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = rig.NewNode(t, w, addrs...)
		t.Cleanup(func() { s.Close() })
		ends[i] = tunnelNetwork{s, names{"peer": tunnelAddrs[1-i], "self": tunnelAddrs[i], "six": {netip.MustParseAddr("fd99::1"), tunnelAddrs[1-i][0]}}}
	}
	rig.Join(t, nodes[0], nodes[1])
	return ends
}

// listenAt opens a listener in the tunnel.
func listenAt(t testing.TB, n proxy.Network, address string) net.Listener {
	t.Helper()
	l, err := n.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A web server on this host's loopback is exposed at one end of a tunnel and
// fetched at the other: with curl by SOCKS5 and by HTTP, through a forwarded
// port, and by Connect.
func TestTunnelTCP(t *testing.T) {
	ends := newTunnel(t)
	web := startWeb(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	exposed := listenAt(t, ends[1], ":80")
	f := &proxy.Forward{To: proxy.Host{}, Destination: proxy.Endpoint{Host: "127.0.0.1", Port: port(web)}}
	start(t, func(ctx context.Context) error { return f.ServeTCP(ctx, exposed) })

	l := listen(t)
	forward := &proxy.Forward{To: ends[0], Destination: proxy.Endpoint{Host: "peer", Port: 80}}
	start(t, func(ctx context.Context) error { return forward.ServeTCP(ctx, l) })
	socks, web2 := startSOCKS(t, &proxy.SOCKS5{Network: ends[0]}), startHTTP(t, &proxy.HTTP{Network: ends[0]})

	get := []string{"-q", "-sS", "--fail", "--max-time", "60", "--noproxy", ""}
	for _, args := range [][]string{
		{"--proxy", "socks5h://" + socks, "http://peer/x"},
		{"--proxy", "socks5h://" + socks, "http://six/x"}, // has an address that nobody has
		{"--proxy", "socks5://" + socks, "http://10.7.0.2/x"},
		{"--proxy", "socks5://" + socks, "http://[fd07::2]/x"},
		{"--proxy", "http://" + web2, "http://peer/x"},
		{"--proxy", "http://" + web2, "-p", "http://[fd07::2]/x"},
		{fmt.Sprintf("http://127.0.0.1:%d/x", port(l.Addr()))},
	} {
		if out, code := run(t, "curl", append(get, args...)...); code != 0 || out != "/x" {
			t.Errorf("%v: curl ends with %d: %s", args, code, out)
		}
	}
	c := greet(t, socks)
	send(t, c, request(1, "10.7.0.2", 81))
	if code, _ := readReply(t, c); code != 5 {
		t.Errorf("a closed port: reply %d", code)
	}
}

// Datagrams go through a relay and a forwarded port to the other end, where
// the host's own server is exposed.
func TestTunnelUDP(t *testing.T) {
	ends := newTunnel(t)
	echo := startUDPEcho(t)
	exposed, err := ends[1].ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	f := &proxy.Forward{To: proxy.Host{}, Destination: proxy.Endpoint{Host: "127.0.0.1", Port: port(echo.LocalAddr())}}
	start(t, func(ctx context.Context) error { return f.ServeUDP(ctx, exposed) })

	server := startSOCKS(t, &proxy.SOCKS5{Network: ends[0]})
	_, relay := associate(t, server, "0.0.0.0", 0)
	c := listenUDP(t)
	for _, host := range []string{"10.7.0.2", "fd07::2"} {
		sendTo(t, c, relay, datagram(host, 53, "hello"))
		wantFrom(t, c, relay, datagram(host, 53, "hello"))
	}
	sendTo(t, c, relay, datagram("peer", 53, "hello"))
	wantFrom(t, c, relay, datagram("10.7.0.2", 53, "hello"))

	at := startForwardUDP(t, &proxy.Forward{To: ends[0], Destination: proxy.Endpoint{Host: "peer", Port: 53}})
	sendTo(t, c, at, []byte("forwarded"))
	wantFrom(t, c, at, []byte("forwarded"))
}
