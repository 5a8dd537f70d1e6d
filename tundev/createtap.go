package tundev

import (
	"fmt"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

// CreateTAP makes an Ethernet TAP called name with an MTU of mtu bytes, as Create
// makes a TUN, brings it up, and returns it adapted by [TAP], with the name that it
// really has. Linux alone has it; elsewhere the error is errors.ErrUnsupported.
//
// With a bridge, which has to be there, the TAP becomes a port of it, and the
// device is made for several stations on the bridge. It learns from what they send who
// has which address, and asks, by ARP and neighbour solicitations, for the others;
// the latest packet for each waits meanwhile. It answers for addresses that packets
// come from through Write, and for those that a station asks for a second time,
// which no station has, or it would have answered: so the first packet of a guest to
// an address from which none has come takes a second. It has no address of its
// own, and neither DHCP nor router advertisements: guests are configured by
// hand, with an MTU that is no larger than mtu, since a bridge drops longer packets
// without a word.
//
// Close removes the interface, and with it the port.
func CreateTAP(logf logger.Logf, name, bridge string, mtu int) (tun.Device, string, error) {
	if logf == nil {
		logf = logger.Discard
	}
	if err := checkMTU(mtu); err != nil {
		return nil, "", createError(name, err)
	}
	dev, real, err := createTAP(logf, name, bridge, mtu)
	if err != nil {
		return nil, "", createError(name, err)
	}
	adapted := newTAP(dev)
	if bridge != "" {
		adapted.stations = newStations()
	}
	return adapted, real, nil
}

// bridgeError says what is wrong with the bridge called name, and how to make one.
func bridgeError(name string, err error) error {
	return fmt.Errorf("bridge %s: %w: \"ip link add %s type bridge\" and \"ip link set %s up\" make one", name, err, name, name)
}
