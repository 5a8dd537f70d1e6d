//go:build !linux

package bind

import (
	"errors"
	"syscall"

	"golang.zx2c4.com/wireguard/conn"
)

// sockets send by wireguard-go's own Bind: by another one to each family, and so to
// addresses of one length alone.
type sockets struct {
	four *conn.StdNetBind
	six  *conn.StdNetBind // has the other one's socket
}

// shared are the fields of a StdNetBind by which it sends to IPv6 addresses.
var shared = []string{"ipv6", "ipv6PC", "ipv6TxOffload", "blackhole6"}

// renew takes over what std has opened or closed.
func (s *sockets) renew(std *conn.StdNetBind) error {
	if s.six == nil {
		s.six = conn.NewStdNetBind().(*conn.StdNetBind)
	}
	s.four = std
	for _, name := range shared {
		field(s.six, name).Set(field(std, name))
	}
	return nil
}

func (s *sockets) send(bufs [][]byte, to conn.Endpoint) error {
	send := s.four.Send
	if to.DstIP().Is6() {
		send = s.six.Send
	}
	err := send(bufs, to)
	if len(bufs) < 2 || !errors.Is(err, syscall.EMSGSIZE) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	var errs []error
	for i := range bufs {
		errs = append(errs, send(bufs[i:i+1], to)) // the peer drops what comes twice
	}
	return errors.Join(errs...)
}
