package tundev

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// port moves packets through a TUN descriptor that is attached, non-blocking
// and registered with the poller.
type port struct {
	file *os.File // borrowed from the device
	reader
	writer
}

func newPort(file *os.File, a attachment, n *notes) (*port, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &port{file: file}
	p.reader.init(file, conn, a.virtio && !a.frames)
	p.writer.init(conn, a, n)
	return p, nil
}

// Read is readReady that comes back with packets, as tun.Device says. What is
// malformed, or was cut, has a size of 0, which is no packet.
func (p *port) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		n, err := p.readReady(bufs, sizes, offset, true)
		if n == 0 && err == nil && min(len(bufs), len(sizes)) > 0 {
			continue
		}
		for i, size := range sizes[:n] {
			if size < 0 || size > len(bufs[i])-offset { // callers slice by it
				sizes[i] = 0
			}
		}
		return n, err
	}
}

// errDeleted is what a descriptor without an interface comes to.
var errDeleted = fmt.Errorf("interface deleted: %w", os.ErrClosed)

// vector does the system call nr, readv or writev. The memory that iov points
// to stays where it is: only the heap is ever in it.
func vector(nr, fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
	n, _, errno := unix.Syscall(nr, fd, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)))
	return int(n), errno
}

func readVector(fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
	return vector(unix.SYS_READV, fd, iov)
}

func writeVector(fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
	return vector(unix.SYS_WRITEV, fd, iov)
}

// piece points an element of a vector at b.
func piece(b []byte) (v unix.Iovec) {
	if len(b) > 0 {
		v.Base = &b[0]
		v.SetLen(len(b))
	}
	return v
}
