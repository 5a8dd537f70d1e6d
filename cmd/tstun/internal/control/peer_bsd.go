//go:build darwin || freebsd

package control

import "golang.org/x/sys/unix"

const solLocal = 0 // SOL_LOCAL, sys/un.h

// peerOfSocket asks LOCAL_PEERCRED: unix(4). It does not say which process it is.
func peerOfSocket(fd int) (peer, error) {
	c, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return peer{}, err
	}
	return peer{uid: int(c.Uid)}, nil
}
