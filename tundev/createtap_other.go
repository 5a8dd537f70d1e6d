//go:build android || !linux

package tundev

import (
	"errors"
	"fmt"
	"runtime"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

func createTAP(logf logger.Logf, name, bridge string, mtu int) (tun.Device, string, error) {
	return nil, "", fmt.Errorf("%w: a TAP is made on Linux alone, not on %s; one that the program has opened goes to TAP", errors.ErrUnsupported, runtime.GOOS)
}
