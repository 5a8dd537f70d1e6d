package tundev

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/tunqueue"
)

// fromFile also serves Android, where neither a netlink socket nor the MTU is
// to be had and the VPN service has set up everything.
func fromFile(f *os.File, mtu int) (tun.Device, error) {
	fd, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	log := new(tunqueue.DeferredLog)
	a, err := tunqueue.Inspect(fd, log)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("not a TUN: %w", err)
	}
	// IP would be looked for behind the virtio header.
	if a.Frames && a.Virtio {
		unix.Close(fd)
		return nil, fmt.Errorf("%w: %s is a TAP with virtio headers", errors.ErrUnsupported, a.Name)
	}
	ctl, notifications, err := socketsOf(fd)
	switch {
	case errors.Is(err, errForeign):
		ctl, notifications, err = &control{fd: -1}, nil, nil
	case err != nil: // no right to ask: it is taken to be here
		ctl, notifications, err = sockets()
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if mtu > 0 {
		// Refused without rights; MTU then tells the interface's own.
		ctl.set(unix.SIOCSIFMTU, a.Name, mtu)
	}
	return newLinuxDevice(deviceParts{Attachment: a, control: ctl, notifications: notifications, mtu: mtu, log: log, sockets: socketsOf})
}
