package bind

import "golang.zx2c4.com/wireguard/conn"

// Send sends datagrams to an endpoint, in order. After an error some may have
// been sent. StdNetBind's has two faults, of which this has none:
//
//   - After a datagram to an IPv4 address, one to an IPv6 address may go to
//     another: only 4 of 16 bytes of the address are copied
//     (WireGuard/wireguard-go pull request 135).
//   - Datagrams that the kernel is to cut out of one, and that do not fit the
//     way to the peer as the kernel has learnt it, are refused together
//     (EMSGSIZE, or EINVAL before Linux 6.13). Here they are sent one by one
//     then, which the kernel cuts into fragments.
//
// On Linux one system call sends all datagrams from where they are: neither
// are they copied into one, nor does a peer wait while another's are sent.
// What the kernel has no memory for (ENOBUFS) is lost alone.
func (b *bind) Send(bufs [][]byte, to conn.Endpoint) error { return b.sockets.send(bufs, to) }
