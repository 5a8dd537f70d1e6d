package tundev

import (
	"os"

	"golang.zx2c4.com/wireguard/tun"
)

// fromFile also serves iOS, whose tunnel provider owns the utun.
func fromFile(f *os.File, mtu int) (tun.Device, error) {
	fd, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	// Takes the copy over, also on error, and leaves an MTU of 0 alone.
	native, err := tun.CreateTUNFromFile(os.NewFile(uintptr(fd), f.Name()), mtu)
	if err != nil {
		return nil, err
	}
	return newCloseGuard(native, nil, nil), nil
}
