//go:build !(linux || darwin || freebsd || openbsd)

package tundev

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.zx2c4.com/wireguard/tun"
)

func fromFile(f *os.File, mtu int) (tun.Device, error) {
	return nil, fmt.Errorf("%w: a TUN is no file on %s", errors.ErrUnsupported, runtime.GOOS)
}
