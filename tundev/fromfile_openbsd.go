package tundev

import (
	"os"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// fromFile leaves the interface alone on Close, unlike create.
func fromFile(f *os.File, mtu int) (tun.Device, error) {
	fd, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	name, err := tunName(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	native, err := newNative(os.NewFile(uintptr(fd), f.Name()), name, mtu)
	if err != nil {
		return nil, err
	}
	return newCloseGuard(native, nil, nil), nil
}
