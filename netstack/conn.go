package netstack

import (
	"net"
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// tcpConn is gVisor's connection with the errors of package net.
type tcpConn struct {
	*gonet.TCPConn
	network       string
	local, remote net.Addr
	closed        atomic.Bool
}

func newTCPConn(c *gonet.TCPConn, network string) *tcpConn {
	return &tcpConn{TCPConn: c, network: network, local: c.LocalAddr(), remote: c.RemoteAddr()}
}

func (c *tcpConn) opError(op string, err error) error {
	return opError(op, c.network, c.local, c.remote, err, c.closed.Load())
}

// Read implements net.Conn.
func (c *tcpConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	return n, c.opError("read", err)
}

// Write implements net.Conn.
func (c *tcpConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	return n, c.opError("write", err)
}

// Close implements net.Conn. What was written is still sent.
func (c *tcpConn) Close() error {
	c.closed.Store(true)
	return c.TCPConn.Close()
}

// CloseRead ends the receiving half.
func (c *tcpConn) CloseRead() error { return c.opError("close", c.TCPConn.CloseRead()) }

// CloseWrite ends the sending half: the other end reads io.EOF.
func (c *tcpConn) CloseWrite() error { return c.opError("close", c.TCPConn.CloseWrite()) }

// LocalAddr implements net.Conn.
func (c *tcpConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *tcpConn) RemoteAddr() net.Addr { return c.remote }

// listener is gVisor's listener with the errors of package net.
type listener struct {
	l      *gonet.TCPListener
	s      *Stack
	addr   net.Addr
	closed atomic.Bool
}

func newListener(l *gonet.TCPListener, s *Stack) *listener {
	return &listener{l: l, s: s, addr: l.Addr()}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.l.Accept()
	if err != nil {
		return nil, opError("accept", "tcp", nil, l.addr, err, l.closed.Load() || l.s.closing.Load())
	}
	return newTCPConn(c.(*gonet.TCPConn), "tcp"), nil
}

// Close implements net.Listener. It wakes Accept; connections that nobody
// accepted are reset.
func (l *listener) Close() error {
	l.closed.Store(true)
	l.l.Shutdown()
	return l.l.Close()
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.addr }

// udpConn is gVisor's UDP socket with the errors of package net.
type udpConn struct {
	*gonet.UDPConn
	local, remote net.Addr
	closed        atomic.Bool
}

func newUDPConn(c *gonet.UDPConn) *udpConn {
	return &udpConn{UDPConn: c, local: c.LocalAddr(), remote: c.RemoteAddr()}
}

func (c *udpConn) opError(op string, addr net.Addr, err error) error {
	return opError(op, "udp", c.local, addr, err, c.closed.Load())
}

// Read implements net.Conn.
func (c *udpConn) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	return n, c.opError("read", c.remote, err)
}

// ReadFrom implements net.PacketConn.
func (c *udpConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.UDPConn.ReadFrom(b)
	return n, from, c.opError("read", c.remote, err)
}

// Write implements net.Conn.
func (c *udpConn) Write(b []byte) (int, error) {
	n, err := c.UDPConn.Write(b)
	return n, c.opError("write", c.remote, err)
}

// WriteTo implements net.PacketConn.
func (c *udpConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, err := udpAddr(addr)
	if err != nil {
		return 0, &net.OpError{Op: "write", Net: "udp", Source: c.local, Addr: addr, Err: err}
	}
	n, err := c.UDPConn.WriteTo(b, to)
	return n, c.opError("write", addr, err)
}

// udpAddr checks what the adaptor takes for granted.
func udpAddr(addr net.Addr) (*net.UDPAddr, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok || u == nil {
		return nil, &net.AddrError{Err: "want a *net.UDPAddr", Addr: addrString(addr)}
	}
	ip, ok := netip.AddrFromSlice(u.IP)
	if !ok {
		return nil, &net.AddrError{Err: "missing address", Addr: addrString(addr)}
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), uint16(u.Port))), nil
}

func addrString(addr net.Addr) string {
	if addr == nil {
		return "<nil>"
	}
	return addr.String()
}

// Close implements net.Conn.
func (c *udpConn) Close() error {
	c.closed.Store(true)
	return c.UDPConn.Close()
}

// LocalAddr implements net.Conn.
func (c *udpConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn. It is nil for ListenPacket's.
func (c *udpConn) RemoteAddr() net.Addr { return c.remote }
