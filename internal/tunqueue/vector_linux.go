package tunqueue

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call is the system call readv or writev. It moves one packet, whose pieces
// are iov, and returns its length in bytes.
type Call func(fd uintptr, iov []unix.Iovec) (int, syscall.Errno)

func readv(fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
	return vectorCall(unix.SYS_READV, fd, iov)
}

func writev(fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
	return vectorCall(unix.SYS_WRITEV, fd, iov)
}

// vectorCall makes the system call number nr. The memory that iov points to
// does not move meanwhile, because all of it is on the heap.
func vectorCall(nr, fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
	n, _, errno := unix.Syscall(nr, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	return int(n), errno
}

// iovec returns an element of a vector that points at b.
func iovec(b []byte) (v unix.Iovec) {
	if len(b) > 0 {
		v.Base = &b[0]
		v.SetLen(len(b))
	}
	return v
}
