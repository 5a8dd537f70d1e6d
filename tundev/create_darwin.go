//go:build !ios

package tundev

import (
	"fmt"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/deverr"
	"tstun/logger"
)

// After sleep or a quick restart the kernel keeps a utun busy for a moment.
const (
	busyLimit    = 15 * time.Second
	busyPause    = 100 * time.Millisecond
	busyMaxPause = 2 * time.Second
)

func create(logf logger.Logf, name string, mtu int) (tun.Device, error) {
	if err := checkName("darwin", name); err != nil {
		return nil, err
	}
	var native tun.Device
	wait := retry{
		clock:    clock{now: time.Now, sleep: time.Sleep},
		limit:    busyLimit,
		pause:    busyPause,
		maxPause: busyMaxPause,
	}
	err := wait.do(logf, deverr.Busy, func() (err error) {
		native, err = tun.CreateTUN(name, mtu) // releases everything on error
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("utun: %w", err)
	}
	return newCloseGuard(native, nil, nil), nil
}
