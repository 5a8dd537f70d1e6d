package tundev

import (
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/deverr"
	"tstun/logger"
)

// maxUnits is how many units create tries to find a free one.
const maxUnits = 256

// create opens the device itself instead of wireguard-go, to know whether the
// interface existed before. An interface that did not is destroyed on failure and
// after Close; wireguard-go would leave it.
func create(_ logger.Logf, name string, mtu int) (tun.Device, error) {
	if err := checkName("openbsd", name); err != nil {
		return nil, err
	}
	f, name, existed, err := openUnit(name)
	if err != nil {
		return nil, err
	}
	remove := func() error {
		if existed {
			return nil
		}
		// Newer kernels do it when the descriptor is closed.
		err := destroy(name)
		if deverr.NoInterface(err) {
			return nil
		}
		return err
	}
	native, err := newNative(f, name, mtu)
	if err != nil {
		remove()
		return nil, err
	}
	return newCloseGuard(native, nil, remove), nil
}

// openUnit opens the device node called name, or for "tun" that of the first free
// unit. Opening a node makes its interface.
func openUnit(name string) (f *os.File, real string, existed bool, err error) {
	open := func(name string) (*os.File, string, bool, error) {
		existed := interfaceExists(name)
		f, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
		return f, name, existed, err
	}
	if name != "tun" {
		return open(name)
	}
	for unit := range maxUnits {
		f, real, existed, err = open(fmt.Sprintf("tun%d", unit))
		if !deverr.Busy(err) {
			break
		}
	}
	return f, real, existed, err
}

// tunName derives the name as the kernel does: unit n is minor number n of
// /dev/tunN (tun(4)). It never changes.
func tunName(fd int) (string, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return "", fmt.Errorf("stat: %w", err)
	}
	return fmt.Sprintf("tun%d", unix.Minor(uint64(stat.Rdev))), nil
}

func interfaceExists(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

func ioctl(op string, fd int, request uint, arg unsafe.Pointer) error {
	//lint:ignore SA1019 x/sys exports no wrapper for these requests, and Go turns the call into libc's ioctl
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg)); errno != 0 {
		return os.NewSyscallError(op, errno)
	}
	return nil
}
