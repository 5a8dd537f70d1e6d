package netstack

import (
	"bytes"
	"net"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// UDPConn is a UDP socket of a Stack, and to a program what a *net.UDPConn is:
// methods, defaults and errors are the same, but for those that need a file
// descriptor, and for addresses of IPv4, which are never IPv4-mapped ones. All
// methods may be called from any goroutine.
type UDPConn struct {
	s             *Stack
	ep            tcpip.Endpoint
	network       string
	at            endpoint     // where it is bound
	local, remote *net.UDPAddr // remote: nil for ListenPacket's

	rd, wr half
	queue  udpQueue
	source bytes.Reader                // of what is written; guarded by wr.turn
	failed atomic.Pointer[tcpip.Error] // for the next call, once: an ICMP error
	closed atomic.Bool
	events waiter.Entry // arrive's

	session *UDPRequest // that it is of; nil: none
}

// newUDPConn returns the socket of an endpoint that is neither bound nor
// connected yet.
func newUDPConn(s *Stack, ep tcpip.Endpoint, wq *waiter.Queue, network string) *UDPConn {
	c := &UDPConn{s: s, ep: ep, network: network}
	c.queue.init(s, &c.rd)
	c.rd.init(wq, 0)
	c.wr.init(wq, waiter.WritableEvents)
	c.events.Init((*arrivals)(c), waiter.ReadableEvents|waiter.EventErr)
	wq.EventRegister(&c.events)
	return c
}

func (s *Stack) dialUDP(network string, from tcpip.FullAddress, e endpoint) (*UDPConn, error) {
	wq := new(waiter.Queue)
	ep, err := s.ip.NewEndpoint(udp.ProtocolNumber, e.proto, wq)
	if err != nil {
		return nil, stackError("socket", err)
	}
	c := newUDPConn(s, ep, wq, network)
	c.queue.alone = true
	if err := c.connect(from, e); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *UDPConn) connect(from tcpip.FullAddress, e endpoint) error {
	if from != (tcpip.FullAddress{}) {
		if err := c.ep.Bind(from); err != nil {
			return stackError("bind", err)
		}
	}
	if err := c.ep.Connect(e.full()); err != nil {
		return stackError("connect", err)
	}
	c.remote = net.UDPAddrFromAddrPort(e.addr)
	return c.bound()
}

// bound notes the local address, once the endpoint has it.
func (c *UDPConn) bound() error {
	a, err := c.ep.GetLocalAddress()
	if err != nil {
		return stackError("getsockname", err)
	}
	c.local = net.UDPAddrFromAddrPort(addrPort(a))
	c.register()
	// The stack may have closed before it knew of the endpoint.
	if c.s.closing.Load() {
		return net.ErrClosed
	}
	return nil
}

// register lets the link put datagrams into the socket's queue. What came
// before is in gVisor's or there already.
func (c *UDPConn) register() { c.s.sockets.Store(c.ep, c) }

// arrivals is a UDPConn as the stack's events know it.
type arrivals UDPConn

// NotifyEvent implements waiter.EventListener: it moves what came to the
// socket's queue. The stack's own queue counts payload alone, so that empty
// datagrams would fill the memory (docs/compatibility.md).
func (a *arrivals) NotifyEvent(waiter.EventMask) {
	c := (*UDPConn)(a)
	if c.isClosed() {
		return
	}
	c.session.touch()
	if err := c.queue.fill(c.ep); err != nil {
		c.failed.Store(&err)
		c.rd.poke()
		c.wr.poke()
	}
}

func (c *UDPConn) isClosed() bool { return c.closed.Load() || c.s.closing.Load() }

// check returns why the half cannot be used, or nil. An ICMP error is told to
// one call (Linux: sk_err).
func (c *UDPConn) check(h *half, call string) error {
	if c.isClosed() {
		return net.ErrClosed
	}
	if err := h.check(); err != nil {
		return err
	}
	if err := c.failed.Swap(nil); err != nil {
		return stackError(call, *err)
	}
	return nil
}

func (c *UDPConn) opError(op string, to net.Addr, err error) error {
	return opError(op, c.network, c.LocalAddr(), to, err)
}

// Close implements net.Conn.
func (c *UDPConn) Close() error {
	if c.closed.Swap(true) {
		return c.opError("close", c.RemoteAddr(), net.ErrClosed)
	}
	c.rd.stop()
	c.wr.stop()
	c.s.sockets.Delete(c.ep)
	c.ep.Close()
	c.queue.close()
	c.session.end()
	return nil
}

// LocalAddr implements net.Conn: a *net.UDPAddr.
func (c *UDPConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn: a *net.UDPAddr, or nil for ListenPacket's.
func (c *UDPConn) RemoteAddr() net.Addr {
	if c.remote == nil {
		return nil
	}
	return c.remote
}

// SetDeadline implements net.Conn.
func (c *UDPConn) SetDeadline(t time.Time) error { return c.setDeadline(t, &c.rd, &c.wr) }

// SetReadDeadline implements net.Conn.
func (c *UDPConn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.rd) }

// SetWriteDeadline implements net.Conn.
func (c *UDPConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.wr) }

func (c *UDPConn) setDeadline(t time.Time, halves ...*half) error {
	return c.set(func() {
		for _, h := range halves {
			h.setDeadline(t)
		}
	})
}

// SetReadBuffer sets how many bytes of datagrams wait for Read. The rest is
// dropped.
func (c *UDPConn) SetReadBuffer(bytes int) error {
	return c.set(func() { c.queue.setLimit(bytes) })
}

// SetWriteBuffer sets how many bytes of datagrams, with their headers, wait for
// the Wrapper before Write does. The Wrapper's queue, of 1,024 packets for all,
// may be full before, and loses and counts what exceeds it
// (Counters.QueueOverflows): 16 KiB keep one socket's smallest within it.
func (c *UDPConn) SetWriteBuffer(bytes int) error {
	return c.set(func() { setWriteBuffer(c.ep, bytes, maxUDPBuffer) })
}

// set runs f, which changes a setting, unless the socket is closed.
func (c *UDPConn) set(f func()) error {
	if c.isClosed() {
		return opError("set", c.network, nil, c.local, net.ErrClosed)
	}
	f()
	return nil
}
