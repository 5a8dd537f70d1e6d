package tundev

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/deverr"
	"tstun/logger"
)

// Requests of net/if_tun.h and netinet6/in6_var.h.
const (
	tunSetMode   = 0x8004745e // TUNSIFMODE, _IOW('t', 94, int)
	tunGetName   = 0x4020745d // TUNGIFNAME, _IOR('t', 93, struct ifreq)
	tunSetFamily = 0x80047460 // TUNSIFHEAD, _IOW('t', 96, int)
	ndGet        = 0xc048696c // SIOCGIFINFO_IN6, _IOWR('i', 108, struct in6_ndireq)
	ndSet        = 0xc048696d // SIOCSIFINFO_IN6, _IOWR('i', 109, struct in6_ndireq)

	ndAutoLinkLocal = 0x20  // ND6_IFF_AUTO_LINKLOCAL
	ndNoDAD         = 0x100 // ND6_IFF_NO_DAD
)

// create opens the device itself instead of wireguard-go, to know the name of the
// interface from the start. The interface outlives its descriptor.
func create(_ logger.Logf, name string, mtu int) (tun.Device, error) {
	if err := checkName("freebsd", name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile("/dev/tun", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	var made string
	err = withDescriptor(f, func(fd int) (err error) {
		made, err = tunName(fd)
		return err
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	native, err := prepare(f, &made, name, mtu)
	if err != nil {
		f.Close()
		destroy(made)
		return nil, err
	}
	// wireguard-go destroys the interface by the name that it saw last. By now
	// the interface may have been renamed, and another one have that name.
	g := newCloseGuard(native, nil, nil)
	g.before = func() { g.Name() }
	return g, nil
}

// prepare sets up the new interface *made, renames it, and sets *made to the new
// name.
func prepare(f *os.File, made *string, name string, mtu int) (tun.Device, error) {
	if err := withDescriptor(f, setModes); err != nil {
		return nil, err
	}
	if err := setNeighbours(*made); err != nil {
		return nil, err
	}
	if name != "" && name != *made {
		if err := rename(*made, name); err != nil {
			return nil, err
		}
		*made = name
	}
	return newNative(f, *made, mtu)
}

// setModes switches on the address family in front of each packet, without which
// there is no IPv6, and a link that is not point to point.
func setModes(fd int) error {
	if err := setFamily(fd); err != nil {
		return err
	}
	mode := int32(unix.IFF_BROADCAST | unix.IFF_MULTICAST)
	return ioctl("TUNSIFMODE", fd, tunSetMode, unsafe.Pointer(&mode))
}

func setFamily(fd int) error {
	on := int32(1)
	return ioctl("TUNSIFHEAD", fd, tunSetFamily, unsafe.Pointer(&on))
}

// setNeighbours switches off the automatic link-local address and duplicate
// address detection, to which nobody would reply.
func setNeighbours(name string) error {
	var r struct { // struct in6_ndireq
		name  [ifNameSize]byte
		_     [5]uint32
		flags uint32
		_     [32]byte
	}
	copy(r.name[:ifNameSize-1], name)
	if err := interfaceRequest("SIOCGIFINFO_IN6 "+name, unix.AF_INET6, ndGet, unsafe.Pointer(&r)); err != nil {
		return err
	}
	r.flags = r.flags&^ndAutoLinkLocal | ndNoDAD
	return interfaceRequest("SIOCSIFINFO_IN6 "+name, unix.AF_INET6, ndSet, unsafe.Pointer(&r))
}

func rename(from, to string) error {
	var name [ifNameSize]byte
	copy(name[:ifNameSize-1], to)
	r := struct { // struct ifreq with ifr_data
		name [ifNameSize]byte
		data unsafe.Pointer
		_    [16 - unsafe.Sizeof(uintptr(0))]byte
	}{data: unsafe.Pointer(&name)}
	copy(r.name[:ifNameSize-1], from)
	err := interfaceRequest("SIOCSIFNAME "+from, unix.AF_INET, unix.SIOCSIFNAME, unsafe.Pointer(&r))
	if deverr.Exists(err) {
		return fmt.Errorf("interface %s already exists: %w", to, err)
	}
	return err
}

func tunName(fd int) (string, error) {
	var r ifreq
	if err := ioctl("TUNGIFNAME", fd, tunGetName, unsafe.Pointer(&r)); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(r.name[:]), nil
}

// withDescriptor calls g with the descriptor of f, which f keeps.
func withDescriptor(f *os.File, g func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if ctlErr := conn.Control(func(fd uintptr) { err = g(int(fd)) }); ctlErr != nil {
		return ctlErr
	}
	return err
}

func ioctl(op string, fd int, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg)); errno != 0 {
		return os.NewSyscallError(op, errno)
	}
	return nil
}
