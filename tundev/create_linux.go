//go:build !android

package tundev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/mdlayher/ethtool"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/deverr"
	"tstun/internal/tunqueue"
	"tstun/logger"
)

const (
	clonePath = "/dev/net/tun" // Documentation/networking/tuntap.rst

	// queueLength is how many packets wait in the interface for Read. It is
	// the kernel's own TUN_READQ_SIZE (drivers/net/tun.c), set because a
	// persistent interface or a distribution's default may differ: a shorter
	// queue loses packets of a burst while the reader is busy, a longer one
	// only adds delay (12 ms at 500 packets of 1,280 bytes and 400 Mbit/s).
	queueLength = 500

	modprobeLimit = 10 * time.Second

	// After modprobe the node appears when udev has made it.
	nodeLimit    = time.Second
	nodePause    = 20 * time.Millisecond
	nodeMaxPause = 200 * time.Millisecond
)

// kernel has the steps of create that ask the system, so that tests can make each
// fail. The caller owns the descriptors that they return.
type kernel struct {
	open          func() (int, error)
	loadModule    func() error
	clock         clock
	attach        func(fd int, name string, flags uint16) (string, error)
	offload       func(fd int, flags uint) error
	nonblock      func(fd int) error
	control       func() (*control, error)
	notifications func() (*os.File, error)
	setMTU        func(c *control, name string, mtu int) error
	setQueue      func(c *control, name string, packets int) error
	setSpeed      func(name string) error
	device        func(p deviceParts) (tun.Device, error)
}

func linuxKernel() kernel {
	return kernel{
		open:          openClone,
		loadModule:    loadModule,
		clock:         clock{now: time.Now, sleep: time.Sleep},
		attach:        attach,
		offload:       tunqueue.SetOffloads,
		nonblock:      func(fd int) error { return unix.SetNonblock(fd, true) },
		control:       openControl,
		notifications: openNotifications,
		setMTU:        func(c *control, name string, mtu int) error { return c.set(unix.SIOCSIFMTU, name, mtu) },
		setQueue:      func(c *control, name string, n int) error { return c.set(unix.SIOCSIFTXQLEN, name, n) },
		setSpeed:      setSpeedUnknown,
		device:        newLinuxDevice,
	}
}

func create(logf logger.Logf, name string, mtu int) (tun.Device, error) {
	if err := checkName("linux", name); err != nil {
		return nil, err
	}
	return linuxKernel().create(logf, name, mtu)
}

func (k kernel) create(logf logger.Logf, name string, mtu int) (tun.Device, error) {
	a, err := k.attached(logf, name)
	if err != nil {
		return nil, err
	}
	return k.deviceOf(logf, a, mtu)
}

// deviceOf makes a device of what is attached, which it takes over, also on an error.
func (k kernel) deviceOf(logf logger.Logf, a tunqueue.Attachment, mtu int) (tun.Device, error) {
	ctl, err := k.control()
	if err != nil {
		unix.Close(a.FD)
		return nil, err
	}
	k.configure(logf, ctl, a.Name, mtu)
	notifications, err := k.notifications()
	if err != nil {
		logf("tundev: %s: link changes are polled for: %v", a.Name, err)
		notifications = nil
	}
	log := new(tunqueue.DeferredLog)
	log.SendTo(logf)
	return k.device(deviceParts{Attachment: a, control: ctl, notifications: notifications, mtu: mtu, log: log, sockets: socketsOf})
}

// configure sets the link's attributes. The device works without any of them,
// since a restricted container may set none.
func (k kernel) configure(logf logger.Logf, ctl *control, name string, mtu int) {
	if mtu > 0 {
		if err := k.setMTU(ctl, name, mtu); err != nil {
			logf("tundev: %s: MTU %d not set, going on: %v", name, mtu, err)
		}
	}
	if err := k.setQueue(ctl, name, queueLength); err != nil {
		logf("tundev: %s: transmit queue length %d not set, going on: %v", name, queueLength, err)
	}
	if err := k.setSpeed(name); err != nil {
		logf("tundev: %s: link speed stays the kernel's 10 Mb/s: %v", name, err)
	}
}

// attached returns a non-blocking descriptor that is attached to the interface,
// with virtio headers and offloads if the kernel has both.
func (k kernel) attached(logf logger.Logf, name string) (tunqueue.Attachment, error) {
	a, err := k.attachedWith(logf, name, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
	if deverr.Unsupported(err) || errors.Is(err, errNoOffload) {
		logf("tundev: %v: trying without offloads", createError(name, err))
		a, err = k.attachedWith(logf, name, unix.IFF_TUN|unix.IFF_NO_PI)
	}
	return a, err
}

// errNoOffload marks a kernel that has virtio headers but no offloads.
var errNoOffload = errors.New("no offloads")

func (k kernel) attachedWith(logf logger.Logf, name string, flags uint16) (a tunqueue.Attachment, err error) {
	if a.FD, err = k.openLoading(logf); err != nil {
		return tunqueue.Attachment{}, err
	}
	defer func() {
		if err != nil {
			unix.Close(a.FD)
		}
	}()
	if a.Name, err = k.attach(a.FD, name, flags); err != nil {
		return a, err
	}
	if a.Virtio = flags&unix.IFF_VNET_HDR != 0; a.Virtio {
		if a.Offloads, err = tunqueue.Negotiate(logf, a.Name, a.FD, k.offload); err == nil {
			err = tunqueue.SetVirtioSize(a.FD)
		}
		if err != nil {
			return a, fmt.Errorf("%w: %w", errNoOffload, err)
		}
	}
	// Before the file is made: os.NewFile registers only a non-blocking
	// descriptor with the poller, without which Close cannot end a Read.
	if err = k.nonblock(a.FD); err != nil {
		return a, fmt.Errorf("set non-blocking: %w", err)
	}
	return a, nil
}

// openLoading opens the clone device. If there is none, it loads the module once
// and waits for the node to appear. It opens first, because in a container the
// TUN may work although the module cannot be loaded.
func (k kernel) openLoading(logf logger.Logf) (int, error) {
	fd, err := k.open()
	if !deverr.NoDriver(err) {
		return fd, err
	}
	logf("tundev: %v: loading the tun module", err)
	if loadErr := k.loadModule(); loadErr != nil {
		return -1, fmt.Errorf("%w (%w)", err, loadErr)
	}
	wait := retry{clock: k.clock, limit: nodeLimit, pause: nodePause, maxPause: nodeMaxPause}
	err = wait.do(logf, deverr.NoDriver, func() (err error) {
		fd, err = k.open()
		return err
	})
	return fd, err
}

func openClone() (int, error) {
	fd, err := unix.Open(clonePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: clonePath, Err: err}
	}
	return fd, nil
}

func attach(fd int, name string, flags uint16) (string, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return "", os.NewSyscallError("TUNSETIFF", err)
	}
	return ifr.Name(), nil
}

func loadModule() error {
	ctx, cancel := context.WithTimeout(context.Background(), modprobeLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "modprobe", "tun").CombinedOutput()
	if text := strings.TrimSpace(string(out)); err != nil && text != "" {
		return fmt.Errorf("modprobe tun: %w: %s", err, text)
	}
	if err != nil {
		return fmt.Errorf("modprobe tun: %w", err)
	}
	return nil
}

// setSpeedUnknown replaces the kernel's default speed of 10 Mb/s, which monitoring
// programs would believe.
func setSpeedUnknown(name string) error {
	c, err := ethtool.New()
	if err != nil {
		return fmt.Errorf("ethtool netlink: %w", err)
	}
	defer c.Close()
	speed := unix.SPEED_UNKNOWN
	return c.UpdateLinkMode(ethtool.Interface{Name: name}, &ethtool.LinkModeUpdate{SpeedMegabits: &speed})
}
