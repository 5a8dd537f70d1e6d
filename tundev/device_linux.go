package tundev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// linuxDevice takes packets from and to wireguard-go's device, and names,
// MTUs and events from the kernel itself: wireguard-go's own monitoring leaves
// a goroutine and descriptors behind when the MTU cannot be set or nobody
// reads its events, and looks in the namespace of whoever asks.
type linuxDevice struct {
	tun.Device // wireguard-go's, unmonitored; owns the descriptor
	control    *control
	monitor    *monitor
	lastMTU    atomic.Int64 // last known
	sockets    func(fd int) (*control, *os.File, error)
}

func newLinuxDevice(fd int, ctl *control, notice *os.File, mtu int) (tun.Device, error) {
	return newFollowingDevice(fd, ctl, notice, mtu, socketsOf)
}

// newFollowingDevice makes a device of fd, a non-blocking descriptor that is
// attached to an interface, and takes over what it is given, also on error.
// notice may be nil. When the interface is moved, the device asks sockets for
// new ones, which fails without rights.
func newFollowingDevice(fd int, ctl *control, notice *os.File, mtu int, sockets func(fd int) (*control, *os.File, error)) (tun.Device, error) {
	fail := func(err error) (tun.Device, error) {
		unix.Close(fd)
		ctl.close()
		if notice != nil {
			notice.Close()
		}
		return nil, err
	}
	name, flags, err := tunInterface(fd)
	if err != nil {
		return fail(err)
	}
	if flags&unix.IFF_VNET_HDR != 0 {
		if err := setOffload(fd); err != nil {
			return fail(err)
		}
	}
	index, err := ctl.find(name)
	if err != nil && notice != nil { // moved away already
		notice.Close()
		notice = nil
	}
	// From here wireguard-go owns fd. It asks again for what was asked for
	// above, so it does not fail; were it to, its file would go with the next
	// garbage collection, and closing fd here could hit somebody else's.
	native, _, err := tun.CreateUnmonitoredTUNFromFD(fd)
	if err != nil {
		ctl.close()
		if notice != nil {
			notice.Close()
		}
		return nil, err
	}
	d := &linuxDevice{Device: native, control: ctl, sockets: sockets}
	d.lastMTU.Store(int64(mtu))
	d.monitor = newMonitor(notice, index, d)
	return newGuard(d, nil, nil), nil
}

func (d *linuxDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := d.Device.Read(bufs, sizes, offset)
	return n, d.deleted(err)
}

func (d *linuxDevice) Write(bufs [][]byte, offset int) (int, error) {
	n, err := d.Device.Write(bufs, offset)
	return n, d.deleted(err)
}

// deleted makes os.ErrClosed of what a descriptor says whose interface is
// gone: EBADFD, or the poller's "not pollable". The errors of everyday, a
// deadline and a link that is down, are not looked into.
func (d *linuxDevice) deleted(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, unix.EIO) || errors.Is(err, os.ErrClosed) {
		return err
	}
	if _, nameErr := d.Name(); errors.Is(nameErr, unix.EBADFD) {
		return fmt.Errorf("interface deleted: %w", os.ErrClosed)
	}
	return err
}

// Name asks the descriptor: it knows of renaming and of other namespaces.
func (d *linuxDevice) Name() (name string, err error) {
	ctlErr := d.descriptor(func(fd int) { name, _, err = tunInterface(fd) })
	return name, errors.Join(ctlErr, err)
}

// descriptor runs f while the descriptor is sure to be open.
func (d *linuxDevice) descriptor(f func(fd int)) error {
	conn, err := d.File().SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { f(int(fd)) })
}

// MTU asks the namespace that the interface is in. When that cannot be
// reached, or the system does not tell (Android), the last known MTU stands.
func (d *linuxDevice) MTU() (int, error) {
	name, err := d.Name()
	if err != nil {
		return 0, err
	}
	mtu, err := d.control.mtu(name)
	switch known := int(d.lastMTU.Load()); {
	case err == nil:
		d.lastMTU.Store(int64(mtu))
		return mtu, nil
	case known > 0 && (errors.Is(err, unix.ENODEV) || errors.Is(err, fs.ErrPermission) || errors.Is(err, os.ErrClosed)):
		return known, nil
	}
	return 0, err
}

// state is for the monitor.
func (d *linuxDevice) state() (s linkState, err error) {
	name, err := d.Name()
	if err != nil {
		return s, err
	}
	if s.up, err = d.control.up(name); err != nil {
		return s, err
	}
	s.mtu, err = d.control.mtu(name)
	return s, err
}

// follow is for the monitor. When it fails, nothing is asked of the old
// namespace any more: what has the interface's name there is another one.
func (d *linuxDevice) follow() (*os.File, int, error) {
	var ctl *control
	var notice *os.File
	var err error
	if ctlErr := d.descriptor(func(fd int) { ctl, notice, err = d.sockets(fd) }); ctlErr != nil || err != nil {
		d.control.close()
		return nil, 0, errors.Join(ctlErr, err)
	}
	name, err := d.Name()
	index := 0
	if err == nil {
		index, err = ctl.find(name)
	}
	d.control.replace(ctl)
	if err != nil {
		d.control.close()
		if notice != nil {
			notice.Close()
		}
		return nil, 0, err
	}
	return notice, index, nil
}

func (d *linuxDevice) Events() <-chan tun.Event { return d.monitor.events }

// Close is called once, by the guard.
func (d *linuxDevice) Close() error {
	err := d.Device.Close()
	d.monitor.stop()
	d.control.close()
	return err
}
