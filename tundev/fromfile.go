package tundev

import (
	"errors"
	"fmt"
	"os"

	"golang.zx2c4.com/wireguard/tun"
)

// FromFile makes a device of a TUN that somebody else opened and configured:
// the VPN service of Android or iOS, or a supervisor such as systemd. It
// returns the device and the interface's name.
//
// FromFile duplicates the descriptor and leaves f to the caller, who keeps it
// and closes it whenever it likes; both must be closed before the interface
// goes away. The two share one open file description, which FromFile sets
// non-blocking. An mtu of 0 leaves the interface's MTU as it is. On Linux an
// mtu that the system refuses for want of rights is skipped, see the device's
// MTU; elsewhere it is an error. On Linux the descriptor must be one of packets
// alone (IFF_NO_PI): the system does not tell, and Read and Write would take
// packet information for a part of the packet.
//
// On FreeBSD and OpenBSD an interface may outlive its descriptors. Close leaves
// it to the caller there, and does not wait for f to be closed. On FreeBSD
// FromFile also switches the descriptor to packets with their address family in
// front (TUNSIFHEAD of tun(4)), for both sides.
//
// After an error nothing is left behind but these modes. On Windows, where a
// TUN is no file, the error is errors.ErrUnsupported.
func FromFile(f *os.File, mtu int) (tun.Device, string, error) {
	if f == nil {
		return nil, "", errors.New("from file: no file")
	}
	if err := checkMTU(mtu); err != nil {
		return nil, "", fmt.Errorf("from file %s: %w", f.Name(), err)
	}
	dev, err := fromFile(f, mtu)
	if err != nil {
		return nil, "", fmt.Errorf("from file %s: %w", f.Name(), err)
	}
	name, err := dev.Name()
	if err != nil {
		dev.Close()
		return nil, "", fmt.Errorf("from file %s: get name: %w", f.Name(), err)
	}
	return dev, name, nil
}
