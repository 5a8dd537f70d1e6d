package tundev

import (
	"os"

	"golang.zx2c4.com/wireguard/tun"
)

// fromFile also serves iOS, where the tunnel provider owns the utun.
func fromFile(f *os.File, mtu int) (tun.Device, error) {
	fd, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	// CreateTUNFromFile owns the copy, also on error, and sets no MTU of 0.
	native, err := tun.CreateTUNFromFile(os.NewFile(uintptr(fd), f.Name()), mtu)
	if err != nil {
		return nil, err
	}
	return newCloseGuard(native, nil, nil), nil
}
