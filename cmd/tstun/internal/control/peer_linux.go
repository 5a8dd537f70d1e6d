package control

import "golang.org/x/sys/unix"

// peerOfSocket asks SO_PEERCRED: unix(7).
func peerOfSocket(fd int) (peer, error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return peer{}, err
	}
	return peer{int(c.Uid), int(c.Pid)}, nil
}
