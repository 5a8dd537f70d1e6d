package netstack

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"tstun/internal/relay"
)

// DialFunc opens a connection beyond: a net.Dialer's DialContext, or another
// Stack's.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// RelayTCP returns a handler that dials what the peer wants to reach and, once
// that is connected, accepts and copies both ways. The end of one direction is
// passed on as such (CloseWrite), and a reset as a reset. A dial that failed is
// passed to Reject.
func RelayTCP(dial DialFunc) func(*TCPRequest) {
	return func(r *TCPRequest) {
		beyond, err := dial(r.Context(), "tcp", r.Destination.String())
		if err != nil {
			r.Reject(err)
			return
		}
		c, err := r.Accept()
		if err != nil {
			relay.Reset(beyond)
			return
		}
		_ = relay.Both(context.Background(), c, beyond) // which resets both on an error
	}
}

// RelayUDP returns a handler that dials where the peer sends to and passes
// datagrams on both ways until the session ends. That a port beyond is closed
// is told to the peer as it was to the handler.
func RelayUDP(dial DialFunc) func(*UDPRequest) {
	return func(r *UDPRequest) {
		beyond, err := dial(r.Context(), "udp", r.Destination.String())
		if err != nil {
			r.Reject(err)
			return
		}
		c, err := r.Accept()
		if err != nil {
			beyond.Close()
			return
		}
		var wg sync.WaitGroup
		wg.Go(func() { r.fromBeyond(c, beyond) })
		c.relayTo(beyond)
		beyond.Close()
		wg.Wait()
	}
}

// relayTo sends what c gets to w, until c is closed. What w refuses is lost, as
// datagrams are; why shows at the next read from beyond.
func (c *UDPConn) relayTo(w io.Writer) {
	for {
		b, err := c.receive()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the peer's port was closed, which may change
		}
		_, _ = w.Write(b)
		putBuffer(b)
	}
}

// receive returns the next datagram in a buffer of getBuffer's.
func (c *UDPConn) receive() ([]byte, error) {
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	for {
		if err := c.check(&c.rd, "read"); err != nil {
			return nil, err
		}
		if d, ok := c.queue.pop(); ok {
			return d.data, nil
		}
		c.rd.wait()
	}
}

// fromBeyond passes on what comes back until the session ends. A port that is
// closed ends it: the next datagram begins another.
func (r *UDPRequest) fromBeyond(c *UDPConn, beyond net.Conn) {
	defer c.Close()
	buf := relayBuffers.Get().(*relayBuffer)
	defer relayBuffers.Put(buf)
	for r.ctx.Err() == nil {
		n, err := beyond.Read(buf[:])
		switch {
		case err == nil:
			_, _ = c.Write(buf[:n]) // a peer that is gone loses it
		case isRefused(err), unreachableFor(err) != nil:
			r.refuse(err)
			return
		default:
			return
		}
	}
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
