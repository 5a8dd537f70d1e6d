package tundev

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// newBSDGuard makes wireguard-go look up the current name just before it
// closes: it destroys the interface by the name that it saw last, and the
// interface may have been renamed, and its old name be another's by now.
func newBSDGuard(native tun.Device) tun.Device {
	g := newGuard(native, nil, nil)
	g.before = func() { g.Name() }
	return g
}

// tunGetName is TUNGIFNAME of net/if_tun.h: _IOR('t', 93, struct ifreq).
const tunGetName = 0x4020745d

func tunName(fd int) (string, error) {
	var ifr struct {
		name [ifNameSize]byte
		_    [16]byte
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), tunGetName, uintptr(unsafe.Pointer(&ifr))); errno != 0 {
		return "", os.NewSyscallError("TUNGIFNAME", errno)
	}
	return unix.ByteSliceToString(ifr.name[:]), nil
}
