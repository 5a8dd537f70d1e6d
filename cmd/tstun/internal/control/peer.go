package control

import "net"

// peer is the process at the other end of a connection, as the kernel says it.
type peer struct {
	uid int
	pid int // 0: not known
}

// peerOf returns who is at the other end: of a connection that was accepted, who
// connected; of one that was dialled, who listened.
func peerOf(c *net.UnixConn) (p peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	if ctlErr := raw.Control(func(fd uintptr) { p, err = peerOfSocket(int(fd)) }); ctlErr != nil {
		return peer{}, ctlErr
	}
	return p, err
}
