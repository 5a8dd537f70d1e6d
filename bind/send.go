package bind

import (
	"errors"
	"syscall"

	"golang.zx2c4.com/wireguard/conn"
)

// Send sends datagrams to an endpoint, in order. After an error some may have
// been sent. StdNetBind's has two faults:
//
//   - After a datagram to an IPv4 address, one to an IPv6 address may go to
//     another: only 4 of 16 bytes of the address are copied
//     (WireGuard/wireguard-go pull request 135). Here each family has a
//     StdNetBind of its own, and so addresses of one length alone.
//   - Datagrams that the kernel is to cut out of one, and that do not fit the
//     way to the peer as the kernel has learnt it, are refused together
//     (EMSGSIZE, or EINVAL before Linux 6.13). Here they are sent one by one
//     then, which the kernel cuts into fragments.
func (b *bind) Send(bufs [][]byte, to conn.Endpoint) error {
	send := b.StdNetBind.Send
	if to.DstIP().Is6() {
		send = b.six.Send
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
