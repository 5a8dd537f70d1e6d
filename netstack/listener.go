package netstack

import (
	"net"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// TCPListener accepts TCP connections of a Stack, and to a program is what a
// *net.TCPListener is. All methods may be called from any goroutine.
type TCPListener struct {
	s       *Stack
	ep      tcpip.Endpoint
	network string
	at      endpoint // listeners'
	addr    *net.TCPAddr
	alive   net.KeepAliveConfig // of the connections

	in      half
	backlog int32
	waiting atomic.Int32 // connections that wait for Accept
	arrived waiter.Entry // counts them
	closed  atomic.Bool
}

// newConns is a TCPListener as the stack's events know it.
type newConns TCPListener

// NotifyEvent implements waiter.EventListener. The stack calls it once for each
// connection, and with other events besides when the listener ends.
func (l *newConns) NotifyEvent(events waiter.EventMask) {
	if events == waiter.ReadableEvents {
		l.waiting.Add(1)
	}
}

// isFull reports whether no more connections are to come, which is when one
// more than the backlog waits (Linux: sk_acceptq_is_full). Those on the way do
// come.
func (l *TCPListener) isFull() bool { return l.waiting.Load() > l.backlog }

// Accept implements net.Listener. The connection is a *TCPConn.
func (l *TCPListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptTCP waits for the next connection.
func (l *TCPListener) AcceptTCP() (*TCPConn, error) {
	l.in.turn.Lock()
	defer l.in.turn.Unlock()
	c, err := l.accept()
	if err != nil {
		return nil, opError("accept", l.network, nil, l.addr, err)
	}
	return c, nil
}

func (l *TCPListener) accept() (*TCPConn, error) {
	for {
		if err := l.check(); err != nil {
			return nil, err
		}
		ep, wq, err := l.ep.Accept(nil)
		switch err.(type) {
		case nil:
			l.waiting.Add(-1)
			return accepted(l.s, ep, wq, l.network, l.alive), nil
		case *tcpip.ErrWouldBlock:
			l.in.wait()
		default:
			return nil, socketError(l, "accept", err)
		}
	}
}

// accepted returns the connection of an endpoint that a peer opened.
func accepted(s *Stack, ep tcpip.Endpoint, wq *waiter.Queue, network string, alive net.KeepAliveConfig) *TCPConn {
	c := newTCPConn(s, ep, wq, network)
	c.connected()
	setKeepAlive(ep, alive)
	return c
}

func (l *TCPListener) isClosed() bool { return l.closed.Load() || l.s.closing.Load() }

func (l *TCPListener) check() error {
	if l.isClosed() {
		return net.ErrClosed
	}
	return l.in.check()
}

// Close implements net.Listener. It wakes Accept; connections that nobody
// accepted are reset.
func (l *TCPListener) Close() error {
	if l.closed.Swap(true) {
		return opError("close", l.network, nil, l.addr, net.ErrClosed)
	}
	l.in.stop()
	l.ep.Close()
	l.s.listeners.remove(l)
	return nil
}

// Addr implements net.Listener: a *net.TCPAddr.
func (l *TCPListener) Addr() net.Addr { return l.addr }

// SetDeadline makes Accept fail from t on. The zero time is for no deadline.
func (l *TCPListener) SetDeadline(t time.Time) error {
	if l.isClosed() {
		return net.ErrClosed
	}
	l.in.setDeadline(t)
	return nil
}
