package tundev

import (
	"fmt"
	"io/fs"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/logger"
)

// maxMTU is the largest MTU that Create and FromFile accept: the total length
// field of IPv4 has 16 bits (RFC 791 §3.1).
const maxMTU = 65535

// Create makes a TUN interface called name with an MTU of mtu bytes and
// returns the device and the name that the interface really has. An mtu of 0
// leaves what the system chooses, which is 65535 on Windows: Read cuts off
// there what is longer than the reader's buffer.
//
// What a name may be depends on the system. Linux takes up to 15 bytes, a
// pattern such as "tun%d", or nothing, when the kernel picks a name. macOS
// takes "utun" (any free one) or "utunN", OpenBSD "tun" or "tunN", FreeBSD up
// to 15 bytes or nothing. Windows needs a name.
//
// Create retries what passes by itself: on Linux it tries once to load the tun
// module, on macOS it waits for a lingering utun, on Windows it replaces a
// leftover adapter once and waits up to 90 seconds for the interface to come
// up. What can be done without, such as the transmit queue length in a
// restricted container, or on Linux and Windows the MTU, is reported to logf
// and skipped. A nil logf is silent.
//
// An error names the interface, the operation and the cause, as in "create
// tun0: TUNSETIFF: operation not permitted", and wraps the system's error.
// After an error nothing is left behind; hand it to [Diagnose] for an
// explanation. On systems without support the error is errors.ErrUnsupported.
// The caller owns the device and closes it, which removes the interface unless
// it was persistent before.
func Create(logf logger.Logf, name string, mtu int) (tun.Device, string, error) {
	if logf == nil {
		logf = logger.Discard
	}
	if err := checkMTU(mtu); err != nil {
		return nil, "", createError(name, err)
	}
	dev, err := create(logf, name, mtu)
	if err != nil {
		return nil, "", createError(name, err)
	}
	real, err := dev.Name()
	if err != nil {
		dev.Close()
		return nil, "", createError(name, fmt.Errorf("get name: %w", err))
	}
	return dev, real, nil
}

// createError wraps err with the operation and the interface.
func createError(name string, err error) error {
	if name == "" {
		name = "unnamed interface"
	}
	return fmt.Errorf("create %s: %w", name, err)
}

// checkMTU refuses an MTU that no IP interface can have. The least MTU differs
// between systems, which check it themselves.
func checkMTU(mtu int) error {
	if mtu < 0 || mtu > maxMTU {
		return mtuError(mtu)
	}
	return nil
}

// mtuError is an MTU that no interface can have. It counts as fs.ErrInvalid.
type mtuError int

func (e mtuError) Error() string { return fmt.Sprintf("MTU %d: not between 0 and %d", int(e), maxMTU) }

// Is makes errors.Is(err, fs.ErrInvalid) hold.
func (mtuError) Is(target error) bool { return target == fs.ErrInvalid }
