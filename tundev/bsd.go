//go:build freebsd || openbsd

package tundev

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// bsdDevice is wireguard-go's device, but its MTU is that of the interface's
// current name, and an error of MTU has the cause.
type bsdDevice struct {
	tun.Device
}

func (d bsdDevice) MTU() (int, error) {
	name, err := d.Name()
	if err != nil {
		return 0, err
	}
	return interfaceMTU(name)
}

// newNative makes wireguard-go's device of f, the TUN called name, and closes f on
// an error. It sets the MTU before, because wireguard-go's error would not have
// the cause; an mtu of 0 stands for the present one.
func newNative(f *os.File, name string, mtu int) (tun.Device, error) {
	mtu, err := adoptMTU(name, mtu)
	if err != nil {
		f.Close()
		return nil, err
	}
	native, err := tun.CreateTUNFromFile(f, mtu)
	if err != nil {
		return nil, err
	}
	return bsdDevice{native}, nil
}

// adoptMTU sets the MTU, unless mtu is 0. It returns the MTU that the interface
// then has.
func adoptMTU(name string, mtu int) (int, error) {
	if mtu == 0 {
		return interfaceMTU(name)
	}
	return mtu, setInterfaceMTU(name, mtu)
}

// ifreq is struct ifreq of net/if.h with an integer in its union.
type ifreq struct {
	name  [ifNameSize]byte
	value int32
	_     [12]byte
}

func newIfreq(name string) *ifreq {
	var r ifreq
	copy(r.name[:ifNameSize-1], name)
	return &r
}

func interfaceMTU(name string) (int, error) {
	r := newIfreq(name)
	err := interfaceRequest("SIOCGIFMTU "+name, unix.AF_INET, unix.SIOCGIFMTU, unsafe.Pointer(r))
	return int(r.value), err
}

func setInterfaceMTU(name string, mtu int) error {
	r := newIfreq(name)
	r.value = int32(mtu)
	return interfaceRequest("SIOCSIFMTU "+name, unix.AF_INET, unix.SIOCSIFMTU, unsafe.Pointer(r))
}

// destroy removes an interface (ifconfig(8) destroy). It waits for as long as
// somebody has the TUN open.
func destroy(name string) error {
	return interfaceRequest("SIOCIFDESTROY "+name, unix.AF_INET, unix.SIOCIFDESTROY, unsafe.Pointer(newIfreq(name)))
}

// interfaceRequest makes a request about an interface on a socket of the address
// family. Its error begins with op.
func interfaceRequest(op string, family int, request uint, arg unsafe.Pointer) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	return ioctl(op, fd, request, arg)
}
