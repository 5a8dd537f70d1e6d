//go:build freebsd || openbsd

package tundev

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// fromFile needs an MTU where 0 is asked for, since wireguard-go always sets
// one: it takes the one that the interface has.
func fromFile(f *os.File, mtu int) (tun.Device, error) {
	fd, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	if mtu == 0 {
		mtu, err = currentMTU(fd)
		if err != nil {
			unix.Close(fd)
			return nil, err
		}
	}
	// Takes the copy over, also on error.
	native, err := tun.CreateTUNFromFile(os.NewFile(uintptr(fd), f.Name()), mtu)
	if err != nil {
		return nil, err
	}
	return newBSDGuard(native), nil
}

func currentMTU(fd int) (int, error) {
	name, err := tunName(fd)
	if err != nil {
		return 0, err
	}
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	return ifi.MTU, nil
}
