//go:build !android

package tundev

import (
	"errors"
	"os"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/tunqueue"
	"tstun/logger"
)

// Kernel is the real kernel with some steps replaced.
type Kernel struct{ k kernel }

func NewKernel() *Kernel {
	k := linuxKernel()
	var now time.Time
	k.clock = clock{
		now:   func() time.Time { return now },
		sleep: func(d time.Duration) { now = now.Add(d) },
	}
	return &Kernel{k}
}

// Create is the package's on k.
func (k *Kernel) Create(logf logger.Logf, name string, mtu int) (tun.Device, error) {
	return k.k.create(logf, name, mtu)
}

// LoadModule replaces the loading of the module.
func (k *Kernel) LoadModule(f func() error) { k.k.loadModule = f }

// FailOpens makes the first n openings of the node fail with err.
func (k *Kernel) FailOpens(n int, err error) {
	real := k.k.open
	k.k.open = func() (int, error) {
		if n > 0 {
			n--
			return -1, &os.PathError{Op: "open", Path: clonePath, Err: err}
		}
		return real()
	}
}

// Attached calls f with the flags of each TUNSETIFF, whose error replaces it.
func (k *Kernel) Attached(f func(flags uint16) error) {
	real := k.k.attach
	k.k.attach = func(fd int, name string, flags uint16) (string, error) {
		if err := f(flags); err != nil {
			return "", os.NewSyscallError("TUNSETIFF", err)
		}
		return real(fd, name, flags)
	}
}

// Fail makes the step called name fail with err.
func (k *Kernel) Fail(name string, err error) {
	switch name {
	case "open":
		k.FailOpens(1, err)
	case "attach":
		k.Attached(func(uint16) error { return err })
	case "offload":
		k.k.offload = func(int, uint) error { return err }
	case "nonblock":
		k.k.nonblock = func(int) error { return err }
	case "control":
		k.k.control = func() (*control, error) { return nil, err }
	case "notifications":
		k.k.notifications = func() (*os.File, error) { return nil, err }
	case "mtu":
		k.k.setMTU = func(*control, string, int) error { return err }
	case "queue":
		k.k.setQueue = func(*control, string, int) error { return err }
	case "speed":
		k.k.setSpeed = func(string) error { return err }
	case "device":
		// A descriptor that is no TUN makes the real function fail.
		real := k.k.device
		k.k.device = func(p deviceParts) (tun.Device, error) {
			null, openErr := os.Open(os.DevNull)
			if openErr != nil {
				return nil, openErr
			}
			defer null.Close()
			other, dupErr := duplicate(null)
			if dupErr != nil {
				return nil, dupErr
			}
			closeDescriptor(p.FD)
			p.FD = other
			dev, realErr := real(p)
			if realErr == nil {
				return dev, nil
			}
			return nil, errors.Join(err, realErr)
		}
	default:
		panic("no step " + name)
	}
}

// NoFollowing makes devices lose an interface that is moved.
func (k *Kernel) NoFollowing() {
	k.k.device = func(p deviceParts) (tun.Device, error) {
		p.sockets = func(int) (*control, *os.File, error) { return nil, nil, errOtherNamespace }
		return newLinuxDevice(p)
	}
}

// FamilyHeader is the reading and writing side of FreeBSD's held device.
type FamilyHeader = familyHeader

func NewFamilyHeader(f *os.File) FamilyHeader { return FamilyHeader{f} }

func closeDescriptor(fd int) { os.NewFile(uintptr(fd), "").Close() }

// QueueOf is that of a device of the package.
func QueueOf(d tun.Device) *tunqueue.Queue { return d.(*direct).queue }

// NewDirect is a device without an interface that reads and writes by q.
func NewDirect(q *tunqueue.Queue) Direct { return newDirect(NewFake(), q) }
