package netstack

import (
	"context"
	"net"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// DefaultBacklog is how many connections wait for Accept where nothing else is
// asked for: what a socket's listen(2) got for decades (SOMAXCONN).
const DefaultBacklog = 128

// A ListenConfig listens on a Stack as a net.ListenConfig does. The zero value
// of each field but Stack is the default. All methods may be called from any
// goroutine.
type ListenConfig struct {
	// Stack is whose sockets they are.
	Stack *Stack
	// Backlog is how many connections wait for Accept. Beyond it a peer's
	// attempts go unanswered, and it tries again. 0: DefaultBacklog.
	Backlog int
	// KeepAlive and KeepAliveConfig are for the accepted connections, as
	// Dialer's are for others.
	KeepAlive       time.Duration
	KeepAliveConfig net.KeepAliveConfig
}

// Listen accepts TCP connections to address: an IP address of the stack, or
// none for all of them, and a port, where 0 is for a free one. network is tcp,
// tcp4 or tcp6; tcp without an address takes both IP versions. A port that
// another listener had can be listened on at once.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	return (&ListenConfig{Stack: s}).Listen(context.Background(), network, address)
}

// ListenPacket receives UDP packets to address, which is like Listen's.
// network is udp, udp4 or udp6.
func (s *Stack) ListenPacket(network, address string) (net.PacketConn, error) {
	return (&ListenConfig{Stack: s}).ListenPacket(context.Background(), network, address)
}

// Listen is like Stack.Listen. The listener is a *TCPListener. ctx bounds the
// look-up of a name only.
func (c *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	e, err := c.Stack.resolveOne(ctx, overTCP, network, address)
	if err != nil {
		return nil, err
	}
	l, err := c.listen(network, e)
	if err != nil {
		return nil, opError("listen", network, nil, e.netAddr(), err)
	}
	return l, nil
}

func (c *ListenConfig) listen(network string, e endpoint) (*TCPListener, error) {
	if c.Stack.closing.Load() {
		return nil, net.ErrClosed
	}
	wq := new(waiter.Queue)
	ep, err := c.Stack.ip.NewEndpoint(tcp.ProtocolNumber, e.proto, wq)
	if err != nil {
		return nil, stackError("socket", err)
	}
	l := &TCPListener{
		s: c.Stack, ep: ep, network: network,
		alive:   keepAlive(c.KeepAlive, c.KeepAliveConfig),
		backlog: int32(min(orDefault(c.Backlog, DefaultBacklog), unlimited)),
	}
	l.arrived.Init((*newConns)(l), waiter.ReadableEvents)
	wq.EventRegister(&l.arrived)
	l.in.init(wq, waiter.ReadableEvents)
	if err := l.start(e); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// unlimited is the backlog that gVisor is given. The listener's own is kept by
// the hook that takes its SYNs. gVisor would answer those beyond a backlog by
// cookies, and a connection that is made of one by a keep-alive probe, whose
// sequence number is one less, never gets any data (docs/compatibility.md).
// What peers can make of it is bounded by their shares of memory.
const unlimited = 1 << 20

func (l *TCPListener) start(e endpoint) error {
	l.ep.SocketOptions().SetV6Only(e.v6Only)
	if err := l.s.listeners.bind(l, e); err != nil {
		return err
	}
	if err := l.ep.Listen(unlimited); err != nil {
		return stackError("listen", err)
	}
	a, err := l.ep.GetLocalAddress()
	if err != nil {
		return stackError("getsockname", err)
	}
	l.addr = net.TCPAddrFromAddrPort(e.shown(a))
	// The stack may have closed before it knew of the endpoint.
	if l.s.closing.Load() {
		return net.ErrClosed
	}
	return nil
}

// ListenPacket is like Stack.ListenPacket. The socket is a *UDPConn. ctx
// bounds the look-up of a name only.
func (c *ListenConfig) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	e, err := c.Stack.resolveOne(ctx, overUDP, network, address)
	if err != nil {
		return nil, err
	}
	u, err := c.Stack.listenUDP(network, e)
	if err != nil {
		return nil, opError("listen", network, nil, e.netAddr(), err)
	}
	return u, nil
}

func (s *Stack) listenUDP(network string, e endpoint) (*UDPConn, error) {
	if s.closing.Load() {
		return nil, net.ErrClosed
	}
	wq := new(waiter.Queue)
	ep, err := s.ip.NewEndpoint(udp.ProtocolNumber, e.proto, wq)
	if err != nil {
		return nil, stackError("socket", err)
	}
	c := newUDPConn(s, ep, wq, network)
	if err := c.bind(e); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *UDPConn) bind(e endpoint) error {
	c.ep.SocketOptions().SetV6Only(e.v6Only)
	c.at = e
	if err := c.ep.Bind(e.full()); err != nil {
		return stackError("bind", err)
	}
	if err := c.bound(); err != nil {
		return err
	}
	c.local = net.UDPAddrFromAddrPort(e.shown(fullAddress(c.local.AddrPort())))
	return nil
}
