package netstack

import (
	"context"
	"errors"
	"net"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// DialContext opens a connection to address, an IP address and port number
// such as "100.64.0.1:80" or "[fd00::1]:80". network is one of tcp, tcp4,
// tcp6, udp, udp4 and udp6. ctx bounds the opening only.
//
// The error is a *net.OpError around the errors of packages syscall, net and
// context: a refusal is syscall.ECONNREFUSED, a closed stack net.ErrClosed.
// That a UDP port is closed shows at a Write after the one that found out.
// A *Stack's DialContext can serve an http.Transport.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	e, err := parse(network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	var c net.Conn
	switch {
	case s.closing.Load():
		err = net.ErrClosed
	case !e.addr.Addr().IsValid() || e.addr.Addr().IsUnspecified():
		err = errors.New("missing address")
	case e.over == overTCP:
		c, err = s.dialTCP(ctx, e)
	default:
		c, err = s.dialUDP(e)
	}
	if err != nil {
		return nil, opError("dial", network, nil, e.netAddr(), err, s.closing.Load())
	}
	return c, nil
}

func (s *Stack) dialTCP(ctx context.Context, e endpoint) (net.Conn, error) {
	c, err := gonet.DialContextTCP(ctx, s.ip, e.full(), e.proto)
	if err != nil {
		return nil, err
	}
	return newTCPConn(c, string(e.over)), nil
}

func (s *Stack) dialUDP(e endpoint) (net.Conn, error) {
	to := e.full()
	c, err := gonet.DialUDP(s.ip, nil, &to, e.proto)
	if err != nil {
		return nil, err
	}
	return newUDPConn(c), nil
}

// Listen accepts TCP connections to address: an IP address of the stack, or
// none for all of them, and a port number, where 0 is for a free one. network
// is tcp, tcp4 or tcp6; tcp without an address takes both IP versions.
func (s *Stack) Listen(network, address string) (net.Listener, error) {
	e, ep, wq, err := s.bind("listen", overTCP, network, address)
	if err != nil {
		return nil, err
	}
	if terr := ep.Listen(listenBacklog); terr != nil {
		ep.Close()
		return nil, opError("listen", network, nil, e.netAddr(), stackError(terr), s.closing.Load())
	}
	return newListener(gonet.NewTCPListener(s.ip, wq, ep), s), nil
}

// listenBacklog is how many connections wait for Accept: Linux's
// net.core.somaxconn.
const listenBacklog = 4096

// ListenPacket receives UDP packets to address, which is like Listen's.
// network is udp, udp4 or udp6.
func (s *Stack) ListenPacket(network, address string) (net.PacketConn, error) {
	_, ep, wq, err := s.bind("listen", overUDP, network, address)
	if err != nil {
		return nil, err
	}
	return newUDPConn(gonet.NewUDPConn(wq, ep)), nil
}

// bind makes a socket with a local address.
func (s *Stack) bind(op string, over transport, network, address string) (endpoint, tcpip.Endpoint, *waiter.Queue, error) {
	e, err := parse(network, address)
	if err == nil && e.over != over {
		err = net.UnknownNetworkError(network)
	}
	if err != nil {
		return endpoint{}, nil, nil, &net.OpError{Op: op, Net: network, Err: err}
	}
	if s.closing.Load() {
		return endpoint{}, nil, nil, opError(op, network, nil, e.netAddr(), net.ErrClosed, true)
	}
	number := udp.ProtocolNumber
	if over == overTCP {
		number = tcp.ProtocolNumber
	}
	wq := new(waiter.Queue)
	ep, terr := s.ip.NewEndpoint(number, e.proto, wq)
	if terr != nil {
		return endpoint{}, nil, nil, opError(op, network, nil, e.netAddr(), stackError(terr), s.closing.Load())
	}
	ep.SocketOptions().SetV6Only(e.v6Only)
	if terr := ep.Bind(e.full()); terr != nil {
		ep.Close()
		return endpoint{}, nil, nil, opError(op, network, nil, e.netAddr(), stackError(terr), s.closing.Load())
	}
	return e, ep, wq, nil
}
