package tundev

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// newBSDGuard destroys the interface after Close: on OpenBSD one outlives the
// process, and wireguard-go leaves it. Its name never changes: it is that of
// the device node.
func newBSDGuard(native tun.Device) tun.Device {
	name := ""
	return newGuard(native,
		func() { name, _ = native.Name() },
		func() error {
			if name == "" {
				return nil
			}
			return destroy(name)
		})
}

// tunName derives the name as the kernel does: unit n is minor number n of
// /dev/tunN (tun(4)).
func tunName(fd int) (string, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return "", fmt.Errorf("stat: %w", err)
	}
	return fmt.Sprintf("tun%d", unix.Minor(uint64(stat.Rdev))), nil
}

// destroy removes an interface (ifconfig(8) destroy). One that is gone
// already is no error.
func destroy(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	var ifr struct { // struct ifreq of net/if.h
		name [ifNameSize]byte
		_    [16]byte
	}
	copy(ifr.name[:ifNameSize-1], name)
	//lint:ignore SA1019 x/sys exports no wrapper for this request, and Go turns the call into libc's ioctl
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(unix.SIOCIFDESTROY), uintptr(unsafe.Pointer(&ifr)))
	if errno != 0 && errno != unix.ENXIO && errno != unix.EINVAL {
		return os.NewSyscallError("SIOCIFDESTROY "+name, errno)
	}
	return nil
}
