package hostnet

import (
	"net/netip"
	"syscall"
)

// Nameservers returns the DNS servers that the host asks now, with their ports:
// those of /etc/resolv.conf, or of systemd-resolved if that stands behind it. A
// server on the host itself is there only if no other is, since whom it asks is
// not known.
func Nameservers() []netip.AddrPort { return nameservers() }

// MarkSocket returns a net.Dialer's Control that has a socket bear a mark, so
// that a full tunnel with that mark does not take what it sends. 0 is none.
func MarkSocket(mark uint32) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error { return markSocket(c, mark) }
}
