package netstack

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// TCPConn is a TCP connection of a Stack, and to a program what a *net.TCPConn
// is: methods, defaults and errors are the same, but for those that need a file
// descriptor. All methods may be called from any goroutine.
type TCPConn struct {
	s             *Stack
	ep            tcpip.Endpoint
	network       string
	local, remote *net.TCPAddr
	account       atomic.Pointer[account] // charged has it

	rd, wr           half
	sink             tcpip.SliceWriter // Read's, so that it need not be allocated; guarded by rd.turn
	source           bytes.Reader      // Write's; guarded by wr.turn, as the next one
	sent, sendBuffer int64             // bytes that are counted; the size that the buffer has when not squeezed
	sweeps           int64             // when they were counted
	readBuffer       atomic.Int64      // the size that the program asked for; 0: none
	closed           atomic.Bool
}

// newTCPConn returns the connection of an endpoint that is not connected yet,
// or that was accepted.
func newTCPConn(s *Stack, ep tcpip.Endpoint, wq *waiter.Queue, network string) *TCPConn {
	c := &TCPConn{s: s, ep: ep, network: network}
	c.rd.init(wq, waiter.ReadableEvents)
	c.wr.init(wq, waiter.WritableEvents)
	return c
}

// connected notes the addresses, once the endpoint has them. It asks for them
// so that a connection that the peer has reset meanwhile has them too, as on
// Linux: gVisor's GetRemoteAddress has none then.
func (c *TCPConn) connected() {
	id := c.ep.Info().(*stack.TransportEndpointInfo).ID
	remote := source(id)
	c.local, c.remote = net.TCPAddrFromAddrPort(destination(id)), net.TCPAddrFromAddrPort(remote)
	c.account.Store(c.s.memory.of(remote.Addr()))
}

// charged returns the account of the connection's peer. A peer that loses the
// address, if only for a moment, loses the account that it had by it: nothing
// that is still charged to that would ever be given back.
func (c *TCPConn) charged() *account {
	a := c.account.Load()
	if a.forgotten.Load() {
		a = c.s.memory.of(c.remote.AddrPort().Addr())
		c.account.Store(a)
	}
	return a
}

func (c *TCPConn) tcp() *tcp.Endpoint { return c.ep.(*tcp.Endpoint) }

func (c *TCPConn) isClosed() bool { return c.closed.Load() || c.s.closing.Load() }

// check returns why the half cannot be used, or nil.
func (c *TCPConn) check(h *half) error {
	if c.isClosed() {
		return net.ErrClosed
	}
	return h.check()
}

func (c *TCPConn) opError(op string, err error) error {
	return opError(op, c.network, c.localAddr(), c.remoteAddr(), err)
}

// localAddr and remoteAddr return nil where there is no address yet.
func (c *TCPConn) localAddr() net.Addr {
	if c.local == nil {
		return nil
	}
	return c.local
}

func (c *TCPConn) remoteAddr() net.Addr {
	if c.remote == nil {
		return nil
	}
	return c.remote
}

// Read implements net.Conn. At the end of what the other side sent it returns
// io.EOF.
func (c *TCPConn) Read(b []byte) (int, error) {
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	n, err := c.read(b)
	return n, c.opError("read", err)
}

func (c *TCPConn) read(b []byte) (int, error) {
	if len(b) == 0 && !c.isClosed() { // whatever the deadline is
		return 0, nil
	}
	for {
		if err := c.check(&c.rd); err != nil {
			return 0, err
		}
		c.sink = b
		held := received(c.tcp())
		r, err := c.ep.Read(&c.sink, tcpip.ReadOptions{})
		c.sink = nil
		switch err.(type) {
		case nil:
			c.wasRead(r.Count, held)
			return r.Count, nil
		case *tcpip.ErrWouldBlock:
			c.rd.wait()
		default:
			return 0, socketError(c, "read", err)
		}
	}
}

// Write implements net.Conn. It returns when the stack has all of b, which the
// other side need not have yet.
func (c *TCPConn) Write(b []byte) (int, error) {
	c.wr.turn.Lock()
	defer c.wr.turn.Unlock()
	n, err := c.write(b)
	return n, c.opError("write", err)
}

func (c *TCPConn) write(b []byte) (int, error) {
	done := 0
	for {
		if err := c.check(&c.wr); err != nil {
			return done, err
		}
		c.boundSend(len(b) - done)
		c.source.Reset(b[done:])
		n, err := c.ep.Write(&c.source, tcpip.WriteOptions{})
		done += int(n)
		_, full := err.(*tcpip.ErrWouldBlock)
		switch {
		case err != nil && !full:
			return done, socketError(c, "write", err)
		case done == len(b):
			c.source.Reset(nil)
			return done, nil
		case full:
			c.wr.wait()
		}
	}
}

// ReadFrom implements io.ReaderFrom: it sends all that r has.
func (c *TCPConn) ReadFrom(r io.Reader) (int64, error) {
	buf := relayBuffers.Get().(*relayBuffer)
	defer relayBuffers.Put(buf)
	n, err := io.CopyBuffer(onlyWriter{c}, r, buf[:])
	return n, c.opError("readfrom", err)
}

// onlyWriter hides ReadFrom from io.CopyBuffer.
type onlyWriter struct{ io.Writer }

// WriteTo implements io.WriterTo: it writes all that the other side sends to w.
// While nothing comes, it holds no buffer.
func (c *TCPConn) WriteTo(w io.Writer) (int64, error) {
	var sum int64
	for {
		n, err := c.writeSome(w)
		sum += int64(n)
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, c.opError("writeto", err)
		}
	}
}

// writeSome waits for data and writes what there is, up to a buffer.
func (c *TCPConn) writeSome(w io.Writer) (int, error) {
	c.waitReadable()
	buf := relayBuffers.Get().(*relayBuffer)
	defer relayBuffers.Put(buf)
	n, err := c.Read(buf[:])
	if err != nil {
		return 0, err
	}
	return w.Write(buf[:n])
}

// waitReadable returns when a Read would not wait, whatever it returned.
func (c *TCPConn) waitReadable() {
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	for c.check(&c.rd) == nil && c.ep.Readiness(waiter.ReadableEvents|waiter.EventErr|waiter.EventHUp) == 0 {
		c.rd.wait()
	}
}

// Close implements net.Conn. What was written is still sent, unless SetLinger
// says otherwise; the other side is reset if it had sent what nobody read.
func (c *TCPConn) Close() error {
	if c.closed.Swap(true) {
		return c.opError("close", net.ErrClosed)
	}
	c.rd.stop()
	c.wr.stop()
	c.ep.Close()
	return nil
}

// CloseRead ends the receiving half: Read returns io.EOF.
func (c *TCPConn) CloseRead() error { return c.shutdown(tcpip.ShutdownRead) }

// CloseWrite ends the sending half: the other side reads io.EOF.
func (c *TCPConn) CloseWrite() error { return c.shutdown(tcpip.ShutdownWrite) }

func (c *TCPConn) shutdown(flags tcpip.ShutdownFlags) error {
	if c.isClosed() {
		return c.opError("close", net.ErrClosed)
	}
	if err := c.ep.Shutdown(flags); err != nil {
		return c.opError("close", socketError(c, "shutdown", err))
	}
	return nil
}

// LocalAddr implements net.Conn: a *net.TCPAddr.
func (c *TCPConn) LocalAddr() net.Addr { return c.localAddr() }

// RemoteAddr implements net.Conn: a *net.TCPAddr.
func (c *TCPConn) RemoteAddr() net.Addr { return c.remoteAddr() }

// SetDeadline implements net.Conn.
func (c *TCPConn) SetDeadline(t time.Time) error { return c.setDeadline(t, &c.rd, &c.wr) }

// SetReadDeadline implements net.Conn.
func (c *TCPConn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.rd) }

// SetWriteDeadline implements net.Conn.
func (c *TCPConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.wr) }

func (c *TCPConn) setDeadline(t time.Time, halves ...*half) error {
	return c.setOwn(func() {
		for _, h := range halves {
			h.setDeadline(t)
		}
	})
}

// setOwn is set for what concerns the socket alone: as with package net, the
// error says less.
func (c *TCPConn) setOwn(f func()) error {
	if c.isClosed() {
		return opError("set", c.network, nil, c.localAddr(), net.ErrClosed)
	}
	f()
	return nil
}

// set runs f, which changes a setting, unless the connection is closed.
func (c *TCPConn) set(f func() tcpip.Error) error {
	if c.isClosed() {
		return c.opError("set", net.ErrClosed)
	}
	if err := f(); err != nil {
		return c.opError("set", socketError(c, "setsockopt", err))
	}
	return nil
}
