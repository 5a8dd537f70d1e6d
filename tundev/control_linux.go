package tundev

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// control is a socket on which the kernel takes requests about interfaces. It
// belongs to the network namespace in which it was opened, so a device keeps
// its own: its methods are then right from any goroutine, whatever namespace
// the goroutine's thread is in.
type control struct {
	mu sync.Mutex // guards fd against use after close
	fd int        // -1 when closed
}

func openControl() (*control, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return &control{fd: fd}, nil
}

func (c *control) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}

// get asks for the 32-bit value that request names. SIOCGIFMTU and
// SIOCGIFTXQLEN have one, SIOCGIFINDEX too (linux/sockios.h).
func (c *control) get(request uint, name string) (int, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := c.ioctl(request, ifr); err != nil {
		return 0, err
	}
	return int(int32(ifr.Uint32())), nil
}

func (c *control) set(request uint, name string, value int) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint32(uint32(value))
	return c.ioctl(request, ifr)
}

func (c *control) ioctl(request uint, ifr *unix.Ifreq) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return os.ErrClosed
	}
	return unix.IoctlIfreq(c.fd, request, ifr)
}

// tunInterface returns the name and the flags of the interface that the TUN
// descriptor fd is attached to, in whatever network namespace it is.
func tunInterface(fd int) (name string, flags uint16, err error) {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return "", 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr); err != nil {
		return "", 0, os.NewSyscallError("TUNGETIFF", err)
	}
	return ifr.Name(), ifr.Uint16(), nil
}

// offloads of linux/if_tun.h that wireguard-go asks for and cannot do without
// once IFF_VNET_HDR is on.
const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6

// setOffload asks for what wireguard-go will ask for, so that a refusal comes
// where it can still be worked around.
func setOffload(fd int) error {
	return os.NewSyscallError("TUNSETOFFLOAD", unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads))
}
