//go:build !android

package tundev

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/gso"
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
	case "notices":
		k.k.notices = func() (*os.File, error) { return nil, err }
	case "mtu":
		k.k.setMTU = func(*control, string, int) error { return err }
	case "queue":
		k.k.setQueue = func(*control, string, int) error { return err }
	case "speed":
		k.k.setSpeed = func(string) error { return err }
	case "device":
		// A descriptor that is no TUN makes the real function fail.
		real := k.k.device
		k.k.device = func(l link) (tun.Device, error) {
			null, openErr := os.Open(os.DevNull)
			if openErr != nil {
				return nil, openErr
			}
			defer null.Close()
			other, dupErr := duplicate(null)
			if dupErr != nil {
				return nil, dupErr
			}
			closeDescriptor(l.fd)
			l.fd = other
			dev, realErr := real(l)
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
	k.k.device = func(l link) (tun.Device, error) {
		l.sockets = func(int) (*control, *os.File, error) { return nil, nil, errForeign }
		return newLinuxDevice(l)
	}
}

// Framed is the reading and writing side of FreeBSD's held device.
type Framed = framed

func NewFramed(f *os.File) Framed { return Framed{f} }

func closeDescriptor(fd int) { os.NewFile(uintptr(fd), "").Close() }

// Port is the reading and writing side of a device, on any file that keeps
// packets apart.
type Port = port

// PortOf is that of a device of the package.
func PortOf(d tun.Device) *Port { return d.(*direct).port }

// NewPort takes offloads for granted if virtio headers are on.
func NewPort(f *os.File, virtio bool, logf logger.Logf) (*Port, error) {
	if virtio {
		return NewPortGranted(f, offloadChecksum|offloadTCP|offloadUDP, logf)
	}
	n := new(notes)
	n.to(logf)
	return newPort(f, attachment{name: "test0"}, n)
}

// NewPortGranted has virtio headers, and these offloads.
func NewPortGranted(f *os.File, offloads uint, logf logger.Logf) (*Port, error) {
	n := new(notes)
	n.to(logf)
	return newPort(f, attachment{name: "test0", virtio: true, offloads: offloads}, n)
}

func (p *port) ReadReady(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	return p.readReady(bufs, sizes, offset, wait)
}

// Joins says of which protocols packets are joined.
func (p *port) Joins() gso.Kinds { return p.kinds }

func (p *port) Interrupt()   { p.interrupt() }
func (p *port) Abandon() int { return p.abandon() }

// RefuseWrites asks refuse for an error of each system call that writes, by
// the bytes that it would write; 0 lets it happen.
func RefuseWrites(p *Port, refuse func(packet []byte) syscall.Errno) {
	p.writev = func(fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
		var b []byte
		for _, v := range iov {
			b = append(b, unsafe.Slice(v.Base, v.Len)...)
		}
		if errno := refuse(b); errno != 0 {
			return 0, errno
		}
		return writeVector(fd, iov)
	}
}

// Notes is a log that may be given its reader later.
type Notes struct{ n notes }

func (n *Notes) Logf(format string, args ...any) { n.n.logf(format, args...) }
func (n *Notes) To(dest logger.Logf)             { n.n.to(dest) }

// Negotiate is the package's, against a kernel that knows only some offloads.
func Negotiate(logf logger.Logf, known uint) (granted uint, err error) {
	return negotiate(logf, "test0", -1, func(_ int, flags uint) error {
		if flags&^known != 0 || known == 0 {
			return unix.EINVAL
		}
		return nil
	})
}

// Offloads by name.
const (
	OffloadChecksum = offloadChecksum
	OffloadTCP      = offloadTCP
	OffloadUDP      = offloadUDP
)

// FailReads makes each system call that reads fail with what fail says; 0
// lets it happen.
func FailReads(p *Port, fail func() syscall.Errno) {
	p.readv = func(fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
		if errno := fail(); errno != 0 {
			return 0, errno
		}
		return readVector(fd, iov)
	}
}
