//go:build android || ios || !(linux || darwin || windows || freebsd || openbsd)

package tundev

import (
	"errors"
	"fmt"
	"runtime"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

func create(logf logger.Logf, name string, mtu int) (tun.Device, error) {
	return nil, fmt.Errorf("%w: %s gives programs no way to make a TUN; take the descriptor of its VPN service with FromFile", errors.ErrUnsupported, runtime.GOOS)
}
