//go:build !android

package tundev

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

func createTAP(logf logger.Logf, name, bridge string, mtu int) (tun.Device, string, error) {
	if err := checkName("linux", name); err != nil {
		return nil, "", err
	}
	master, err := bridgeCalled(bridge)
	if err != nil {
		return nil, "", err
	}
	k := linuxKernel()
	// Without virtio headers: the queue cuts super-packets of IP, not frames.
	a, err := k.attachedWith(logf, name, unix.IFF_TAP|unix.IFF_NO_PI)
	if err != nil {
		return nil, "", err
	}
	dev, err := k.deviceOf(logf, a, mtu)
	if err != nil {
		return nil, "", err
	}
	if err := plug(a.Name, master); err != nil {
		return nil, "", errors.Join(err, dev.Close())
	}
	return dev, a.Name, nil
}

// bridgeCalled returns the bridge of that name, or nil for no name.
func bridgeCalled(name string) (netlink.Link, error) {
	if name == "" {
		return nil, nil
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, bridgeError(name, err)
	}
	if link.Type() != "bridge" {
		return nil, fmt.Errorf("%s is no bridge but of type %s", name, link.Type())
	}
	return link, nil
}

// plug makes the interface a port of master, if that is not nil, and brings it up.
func plug(name string, master netlink.Link) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if master != nil {
		if err := netlink.LinkSetMaster(link, master); err != nil {
			return fmt.Errorf("make it a port of bridge %s: %w", master.Attrs().Name, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring it up: %w", err)
	}
	return nil
}
