package tundev

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// control is a socket for requests about interfaces (netdevice(7)). It belongs to
// the network namespace in which it was opened. A device keeps one of its own,
// so that requests reach its namespace from any goroutine, whatever namespace
// the goroutine's thread is in.
type control struct {
	mu    sync.Mutex // guards what follows
	fd    int        // or -1 if it is closed
	index int        // of the device's interface, or 0 if it is not known
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

// replace gives c the socket and the index of other, and closes c's old socket.
// If c is closed, it stays closed, and replace closes other's socket.
func (c *control) replace(other *control) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 {
		c.fd, other.fd = other.fd, c.fd
		c.index = other.index
	}
	other.close()
}

// find looks up the index of the interface called name, and makes it the
// device's.
func (c *control) find(name string) (index int, err error) {
	ifr, err := c.request(unix.SIOCGIFINDEX, name)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = int(int32(ifr.Uint32()))
	return c.index, nil
}

// mtu returns the MTU of the device's interface, which is called name at present.
func (c *control) mtu(name string) (int, error) {
	ifr, err := c.requestOwn(unix.SIOCGIFMTU, name)
	if err != nil {
		return 0, os.NewSyscallError("SIOCGIFMTU", err)
	}
	return int(int32(ifr.Uint32())), nil
}

// up reports whether the device's interface, which is called name at present, is
// up and running.
func (c *control) up(name string) (bool, error) {
	ifr, err := c.requestOwn(unix.SIOCGIFFLAGS, name)
	if err != nil {
		return false, os.NewSyscallError("SIOCGIFFLAGS", err)
	}
	return ifr.Uint16()&linkUp == linkUp, nil
}

// requestOwn makes a request about the device's interface. If another interface
// has the name, because the device's has been moved, the error is ENODEV.
func (c *control) requestOwn(request uint, name string) (*unix.Ifreq, error) {
	c.mu.Lock()
	own := c.index
	c.mu.Unlock()
	if own != 0 {
		ifr, err := c.request(unix.SIOCGIFINDEX, name)
		if err != nil {
			return nil, err
		}
		if int(int32(ifr.Uint32())) != own {
			return nil, unix.ENODEV
		}
	}
	return c.request(request, name)
}

func (c *control) request(request uint, name string) (*unix.Ifreq, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	return ifr, c.ioctl(request, ifr)
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
