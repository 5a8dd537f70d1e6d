package bind

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// sockets send. Several calls may send at a time.
type sockets struct {
	four, six *socket
	calls     sync.Pool // of *sendCall
}

// socket is one that is open.
type socket struct {
	raw syscall.RawConn
	// segments is whether the kernel cuts messages into datagrams.
	segments atomic.Bool
}

// renew takes over what std has opened or closed.
func (s *sockets) renew(std *conn.StdNetBind) error {
	var errs [2]error
	s.four, errs[0] = newSocket(std, "ipv4", "ipv4TxOffload")
	s.six, errs[1] = newSocket(std, "ipv6", "ipv6TxOffload")
	return errors.Join(errs[:]...)
}

// newSocket returns the socket that is in a field of std, or nil if it has none. Another
// says whether it cuts messages.
func newSocket(std *conn.StdNetBind, name, segments string) (*socket, error) {
	c := field(std, name).Interface().(*net.UDPConn)
	if c == nil {
		return nil, nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{raw: raw}
	s.segments.Store(field(std, segments).Bool())
	return s, nil
}

func (s *sockets) send(bufs [][]byte, to conn.Endpoint) error {
	std, ok := to.(*conn.StdNetEndpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	e := ours(std)
	socket := s.four
	if !e.Addr().Is4() {
		socket = s.six
	}
	if socket == nil {
		return syscall.EAFNOSUPPORT
	}
	c, ok := s.calls.Get().(*sendCall)
	if !ok {
		c = newSendCall()
	}
	defer s.calls.Put(c)
	defer c.forget()
	c.address(e.AddrPort, e.src)
	var errs error
	for len(bufs) > 0 {
		n := min(len(bufs), maxBuffers)
		if err := c.send(socket, bufs[:n], socket.segments.Load()); err != nil {
			errs = errors.Join(errs, err)
		}
		bufs = bufs[n:]
	}
	if errs != nil {
		c.zone = zone{} // the interface may be another one now
	}
	return errs
}

// send sends at most maxBuffers datagrams, together if segments is set.
func (c *sendCall) send(s *socket, bufs [][]byte, segments bool) (errs error) {
	for len(bufs) > 0 {
		messages := c.fill(bufs, segments)
		n, err := c.transmit(s.raw, messages)
		for i := range n {
			bufs = bufs[messages[i].Iovlen:]
		}
		if err == nil {
			continue // the kernel may have taken some and not all
		}
		refused := bufs[:messages[n].Iovlen]
		switch {
		case len(refused) > 1 && errors.Is(err, unix.EIO):
			// A device on the way has no checksum offload, see the kernel's udp_send_skb.
			s.segments.Store(false)
			return conn.ErrUDPGSODisabled{RetryErr: errors.Join(errs, c.send(s, bufs, false))}
		case len(refused) > 1 && (errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.EINVAL)):
			err = c.send(s, refused, false)
		case !errors.Is(err, unix.ENOBUFS):
			return errors.Join(errs, err)
		}
		bufs = bufs[len(refused):]
		if err != nil {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}
