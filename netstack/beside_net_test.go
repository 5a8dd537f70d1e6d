package netstack_test

import (
	"context"
	"errors"
	"fmt"
	"go/token"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tstun/netstack"
)

// world is a place with a client and a server: package net on loopback, or two
// stacks.
type world struct {
	addr         string // the server's
	dial         func(ctx context.Context, d netstack.Dialer, network, address string) (net.Conn, error)
	listen       func(network, address string) (net.Listener, error)
	listenPacket func(network, address string) (net.PacketConn, error)
}

// loopback is package net's world.
func loopback(v6 bool) world {
	w := world{addr: "127.0.0.1", listen: net.Listen, listenPacket: net.ListenPacket}
	if v6 {
		w.addr = "::1"
	}
	w.dial = func(ctx context.Context, d netstack.Dialer, network, address string) (net.Conn, error) {
		n := net.Dialer{
			Timeout: d.Timeout, Deadline: d.Deadline, LocalAddr: d.LocalAddr,
			FallbackDelay: d.FallbackDelay, KeepAlive: d.KeepAlive, KeepAliveConfig: d.KeepAliveConfig,
		}
		return n.DialContext(ctx, network, address)
	}
	return w
}

// stacks is the world of the two nodes. Both are the one host's, as on
// loopback: what is listened on at b can be dialed from a.
func stacks(a, b *node, v6 bool) world {
	w := world{addr: b.v4.String(), listen: b.s.Listen, listenPacket: b.s.ListenPacket}
	if v6 {
		w.addr = b.v6.String()
	}
	w.dial = func(ctx context.Context, d netstack.Dialer, network, address string) (net.Conn, error) {
		d.Stack = a.s
		return d.DialContext(ctx, network, address)
	}
	return w
}

// A row does something and notes what came of it.
type row struct {
	name string
	run  func(*script)
}

// script is one run of a row in one world.
type script struct {
	testing.TB
	world
	v6   bool
	said strings.Builder
}

// note writes down what happened, with errors taken apart.
func (s *script) note(what string, got ...any) {
	fmt.Fprintf(&s.said, "%s:", what)
	for _, v := range got {
		fmt.Fprintf(&s.said, " %s;", describe(v))
	}
	s.said.WriteByte('\n')
}

// TestBesidePackageNet holds the sockets to package net's: each row happens on
// loopback and between two stacks, and what is noted has to be the same but for
// the numbers of addresses and ports.
func TestBesidePackageNet(t *testing.T) {
	var rows []row
	for _, some := range [][]row{connRows, endRows, optionRows, dialRows, listenRows, udpRows, udpErrorRows} {
		rows = append(rows, some...)
	}
	for _, v6 := range []bool{false, true} {
		a, b := backToBack(t)
		name := map[bool]string{false: "IPv4", true: "IPv6"}[v6]
		for _, r := range rows {
			t.Run(name+"/"+r.name, func(t *testing.T) {
				want := perform(t, r, loopback(v6), v6)
				got := perform(t, r, stacks(a, b, v6), v6)
				if got != want {
					t.Errorf("package net:\n%s\nstacks:\n%s", want, got)
				}
			})
		}
	}
}

// perform returns what the row notes in w.
func perform(t *testing.T, r row, w world, v6 bool) string {
	var said string
	t.Run("in", func(t *testing.T) {
		s := &script{TB: t, world: w, v6: v6}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.run(s)
		}()
		select {
		case <-done:
			said = s.said.String()
		case <-time.After(patience):
			t.Error("it hangs")
		}
	})
	return said
}

// describe returns v without what differs between the worlds.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case error:
		return describeError(v)
	case net.Addr:
		return fmt.Sprintf("%s %s %s", exported(v), v.Network(), hide(v.String()))
	case netip.AddrPort:
		return hide(netip.AddrPortFrom(v.Addr().Unmap(), v.Port()).String())
	case net.Conn, net.Listener:
		return exported(v)
	}
	return hide(fmt.Sprint(v))
}

// exported returns the name of v's type, if programs can have it.
func exported(v any) string {
	_, name, _ := strings.Cut(fmt.Sprintf("%T", v), ".")
	if !token.IsExported(name) {
		return "some"
	}
	return name
}

// sentinels are what programs compare errors with.
var sentinels = []error{
	net.ErrClosed, os.ErrDeadlineExceeded, context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrClosedPipe, io.ErrUnexpectedEOF,
	net.ErrWriteToConnected, os.ErrClosed, os.ErrPermission, os.ErrInvalid, errSource,
	syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE,
	syscall.EINVAL, syscall.EMSGSIZE, syscall.EDESTADDRREQ, syscall.ENOTCONN, syscall.EAFNOSUPPORT, syscall.ETIMEDOUT,
}

func describeError(err error) string {
	if err == io.EOF {
		return "EOF itself"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%q", hide(err.Error()))
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e := e.(type) {
		case *net.OpError:
			fmt.Fprintf(&b, " op(%s %s %s -> %s)", e.Op, e.Net, describe(e.Source), describe(e.Addr))
		case *os.SyscallError, *net.AddrError, *net.DNSError, net.UnknownNetworkError, net.InvalidAddrError, syscall.Errno:
			fmt.Fprintf(&b, " %T", e)
		}
	}
	for _, is := range sentinels {
		if errors.Is(err, is) {
			fmt.Fprintf(&b, " is %q", is)
		}
	}
	if e, ok := err.(interface{ Timeout() bool }); ok {
		fmt.Fprintf(&b, " timeout=%v", e.Timeout())
	}
	if e, ok := err.(interface{ Temporary() bool }); ok { // some programs still ask
		fmt.Fprintf(&b, " temporary=%v", e.Temporary())
	}
	return b.String()
}

var (
	errSource = errors.New("the source's own error")

	hosts = regexp.MustCompile(`127\.0\.0\.1|\[::1\]|::1\b|100\.64\.7\.[12]|\[fd7a:115c::7:[12]\]|fd7a:115c::7:[12]`)
	ports = regexp.MustCompile(`:[1-9]\d{2,}\b`)
)

// hide replaces the addresses and ports of a world.
func hide(s string) string {
	return ports.ReplaceAllString(hosts.ReplaceAllString(s, "HOST"), ":PORT")
}

// on returns the server's address with a port.
func (s *script) on(port int) string { return net.JoinHostPort(s.addr, fmt.Sprint(port)) }

// version returns the network's name with the IP version behind.
func (s *script) version(network string) string {
	if s.v6 {
		return network + "6"
	}
	return network + "4"
}

func port(a net.Addr) int {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.Port
	case *net.UDPAddr:
		return a.Port
	}
	return 0
}

// must ends the row if there is an error that it is not about.
func must[T any](s *script, v T, err error) T {
	if err != nil {
		s.Errorf("%v", err)
		panic(err)
	}
	return v
}

func (s *script) listener(network string) net.Listener {
	l := must(s, s.world.listen, nil)
	got, err := l(network, s.on(0))
	return closing(s, must(s, got, err))
}

// closing closes c after the row.
func closing[C io.Closer](s *script, c C) C {
	s.Cleanup(func() { c.Close() })
	return c
}

func (s *script) connect(d netstack.Dialer, network, address string) net.Conn {
	c, err := s.dial(context.Background(), d, network, address)
	return closing(s, must(s, c, err))
}

// pair returns both ends of a TCP connection.
func (s *script) pair() (client, server conn) {
	l := s.listener("tcp")
	c := s.connect(netstack.Dialer{}, "tcp", l.Addr().String())
	got, err := l.Accept()
	return c.(conn), closing(s, must(s, got, err)).(conn)
}

// conn is what programs expect of a TCP connection of either world.
type conn interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo
	CloseRead() error
	CloseWrite() error
	SetLinger(int) error
	SetNoDelay(bool) error
	SetKeepAlive(bool) error
	SetKeepAlivePeriod(time.Duration) error
	SetKeepAliveConfig(net.KeepAliveConfig) error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

// packetConn is what programs expect of a UDP socket of either world.
type packetConn interface {
	net.Conn
	net.PacketConn
	ReadFromUDP([]byte) (int, *net.UDPAddr, error)
	ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error)
	ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error)
	ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error)
	WriteToUDP([]byte, *net.UDPAddr) (int, error)
	WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
	WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error)
	WriteMsgUDPAddrPort(b, oob []byte, addr netip.AddrPort) (n, oobn int, err error)
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

// packetPair returns a connected UDP socket and the one that it is connected to.
func (s *script) packetPair() (client, server packetConn) {
	pc, err := s.listenPacket("udp", s.on(0))
	server = closing(s, must(s, pc, err)).(packetConn)
	c := s.connect(netstack.Dialer{}, "udp", server.LocalAddr().String())
	return c.(packetConn), server
}

// refusingPort is one of UDP or TCP where nobody listens.
func (s *script) refusingPort(network string) int {
	if strings.HasPrefix(network, "udp") {
		pc, err := s.listenPacket(network, s.on(0))
		must(s, pc, err).Close()
		return port(pc.LocalAddr())
	}
	l, err := s.listen(network, s.on(0))
	must(s, l, err).Close()
	return port(l.Addr())
}

// background runs f and returns what waits for it.
func background(f func()) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return func() { <-done }
}
