//go:build freebsd || openbsd

package tundev

import (
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

// defaultMTU is what an MTU of 0 means to create (RFC 8200 §5): wireguard-go
// sets every MTU that it is given.
const defaultMTU = 1280

func create(_ logger.Logf, name string, mtu int) (tun.Device, error) {
	if err := checkName(runtime.GOOS, name); err != nil {
		return nil, err
	}
	if mtu == 0 {
		mtu = defaultMTU
	}
	native, err := tun.CreateTUN(name, mtu)
	if err != nil {
		return nil, fmt.Errorf("tun: %w", err)
	}
	return newBSDGuard(native), nil
}

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
