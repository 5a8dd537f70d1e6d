package proxy_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/proxy"
)

const patience = 30 * time.Second // for what should take milliseconds

// The lab's addresses stand for loopback's, which a proxy refuses.
var (
	far4     = netip.MustParseAddr("192.0.2.1")
	far6     = netip.MustParseAddr("2001:db8::1")
	near4    = netip.MustParseAddr("127.0.0.1")
	near6    = netip.IPv6Loopback()
	silent   = netip.MustParseAddr("192.0.2.99") // answers nothing
	nowhere  = netip.MustParseAddr("198.51.100.1")
	farToNow = map[netip.Addr]netip.Addr{far4: near4, far6: near6}
)

// lab is a Network: the host's loopback under other addresses, with names.
type lab struct {
	proxy.Host
	names map[string][]netip.Addr
	dials atomic.Int64
}

func newLab() *lab {
	return &lab{names: map[string][]netip.Addr{
		"far.example": {far4}, "far6.example": {far6}, "both.example": {far6, far4}, "second.example": {nowhere, far4}, "silent.example": {silent},
		"localhost": {near4}, "rebound.example": {near6, far4}, "2130706433": {near4}, "0x7f.1": {near4}, "mapped.example": {netip.MustParseAddr("::ffff:127.0.0.1")},
	}}
}

func translate(a netip.AddrPort, table map[netip.Addr]netip.Addr) netip.AddrPort {
	if to, ok := table[a.Addr()]; ok {
		return netip.AddrPortFrom(to, a.Port())
	}
	return a
}

func (n *lab) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n.dials.Add(1)
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	switch a.Addr() {
	case silent:
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	case nowhere:
		return nil, &net.OpError{Op: "dial", Net: network, Err: errNoNetwork}
	}
	return n.Host.DialContext(ctx, network, translate(a, farToNow).String())
}

func (n *lab) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if addrs, ok := n.names[host]; ok && network == "ip" {
		return append([]netip.Addr(nil), addrs...), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (n *lab) ListenPacket(network, address string) (net.PacketConn, error) {
	c, err := n.Host.ListenPacket(network, address)
	return labPackets{c}, err
}

// labPackets is a socket of the lab. It has the methods of net.PacketConn only.
type labPackets struct{ net.PacketConn }

func (p labPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := p.PacketConn.ReadFrom(b)
	if err != nil {
		return n, from, err
	}
	a := from.(*net.UDPAddr).AddrPort()
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	return n, net.UDPAddrFromAddrPort(translate(a, map[netip.Addr]netip.Addr{near4: far4, near6: far6})), nil
}

func (p labPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	a := to.(*net.UDPAddr).AddrPort()
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	return p.PacketConn.WriteTo(b, net.UDPAddrFromAddrPort(translate(a, farToNow)))
}

// listen opens a listener on loopback.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// port returns the port of an address.
func port(a net.Addr) uint16 {
	return a.(interface{ AddrPort() netip.AddrPort }).AddrPort().Port()
}

// far returns the address in the lab of a listener on loopback.
func far(a net.Addr) string { return netip.AddrPortFrom(far4, port(a)).String() }

// start runs a Serve until the test ends, and wants nil of it then.
func start(t testing.TB, serve func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := within(t, "Serve to return", done); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// within returns what comes from c.
func within[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited too long for %s", what)
	}
	return v
}

// startSOCKS starts a server over n and returns its address.
func startSOCKS(t testing.TB, s *proxy.SOCKS5) string {
	t.Helper()
	l := listen(t)
	start(t, func(ctx context.Context) error { return s.Serve(ctx, l) })
	return l.Addr().String()
}

// startHTTP starts a server and returns its address.
func startHTTP(t testing.TB, p *proxy.HTTP) string {
	t.Helper()
	l := listen(t)
	start(t, func(ctx context.Context) error { return p.Serve(ctx, l) })
	return l.Addr().String()
}

// startEcho starts a TCP server that sends back what comes, and ends when the
// client does.
func startEcho(t testing.TB) net.Addr {
	return startTCP(t, func(c net.Conn) {
		io.Copy(c, c)
		c.(*net.TCPConn).CloseWrite()
	})
}

// startTCP starts a TCP server on loopback.
func startTCP(t testing.TB, handle func(net.Conn)) net.Addr {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return l.Addr()
}

// startUDPEcho starts a UDP server on loopback that sends back what comes.
func startUDPEcho(t testing.TB) *net.UDPConn {
	t.Helper()
	c := listenUDP(t)
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	return c
}

func listenUDP(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// dial opens a connection on loopback, with a generous deadline.
func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// send writes b.
func send(t testing.TB, c io.Writer, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// receive reads n bytes.
func receive(t testing.TB, c io.Reader, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("read of %d bytes: %v", n, err)
	}
	return b
}

// slowNames is a lab whose names are found once open is closed.
type slowNames struct {
	*lab
	open    chan struct{}
	lookups atomic.Int64
}

func (n *slowNames) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	n.lookups.Add(1)
	select {
	case <-n.open:
		return n.lab.LookupNetIP(ctx, network, host)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// own are the spellings of the host itself, and of what is no host.
var own = []string{
	"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1",
	"::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "ff01::1", "ff02::1",
	"localhost", "2130706433", "0x7f.1", "mapped.example",
}

// asName is a text as a name on the wire, although it is an address.
func asName(command byte, host string, port uint16) []byte {
	b := append([]byte{5, command, 0, 3, byte(len(host))}, host...)
	return binary.BigEndian.AppendUint16(b, port)
}
