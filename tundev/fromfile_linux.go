package tundev

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/tunqueue"
)

// fromFile also serves Android, where the VPN service sets everything up and a
// program can neither open a netlink socket nor query the MTU.
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
	// Read would take the Ethernet header behind the virtio header for IP.
	if a.Frames && a.Virtio {
		unix.Close(fd)
		return nil, fmt.Errorf("%w: %s is a TAP with virtio headers", errors.ErrUnsupported, a.Name)
	}
	ctl, notifications, err := socketsOf(fd)
	switch {
	case errors.Is(err, errOtherNamespace):
		ctl, notifications, err = &control{fd: -1}, nil, nil
	case err != nil: // without the right to ask, assume that it is here
		ctl, notifications, err = sockets()
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if mtu > 0 {
		// Without rights the system refuses, and MTU returns the interface's own.
		ctl.set(unix.SIOCSIFMTU, a.Name, mtu)
	}
	return newLinuxDevice(deviceParts{Attachment: a, control: ctl, notifications: notifications, mtu: mtu, log: log, sockets: socketsOf})
}
