//go:build !linux

package tundev

import (
	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

func asDirect(logger.Logf, tun.Device) (Direct, bool) { return nil, false }
