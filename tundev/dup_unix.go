//go:build linux || darwin || freebsd || openbsd

package tundev

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// duplicate returns a close-on-exec, non-blocking copy of f's descriptor. It
// never calls f.Fd, which would switch f to blocking mode under its owner.
func duplicate(f *os.File) (int, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	if err := conn.Control(func(own uintptr) {
		fd, dupErr = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return -1, err
	}
	if dupErr != nil {
		return -1, fmt.Errorf("duplicate: %w", dupErr)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set non-blocking: %w", err)
	}
	return fd, nil
}
