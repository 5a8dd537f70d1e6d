package tundev

import (
	"errors"
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
	mtu        atomic.Int64 // last known
}

// newLinuxDevice makes a device of fd, a non-blocking descriptor that is
// attached to an interface, and takes over all its arguments, also on error.
// notice may be nil.
func newLinuxDevice(fd int, ctl *control, notice *os.File, mtu int) (tun.Device, error) {
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
	index, err := ctl.get(unix.SIOCGIFINDEX, name)
	if err != nil && notice != nil { // in another namespace already
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
	d := &linuxDevice{Device: native, control: ctl}
	d.mtu.Store(int64(mtu))
	d.monitor = newMonitor(notice, index, func() (up, known bool) {
		return probeUp(native.File(), flags)
	})
	return newGuard(d, nil, nil), nil
}

// probeUp writes nothing to the TUN: the kernel says EIO when the interface
// is down, and otherwise EINVAL since the virtio header is missing. Without
// that header it would count a dropped packet each time, so it is not asked.
func probeUp(file *os.File, flags uint16) (up, known bool) {
	if flags&unix.IFF_VNET_HDR == 0 {
		return false, false
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return false, false
	}
	var errno error
	if err := conn.Control(func(fd uintptr) { _, errno = unix.Write(int(fd), nil) }); err != nil {
		return false, false
	}
	switch {
	case errors.Is(errno, unix.EINVAL):
		return true, true
	case errors.Is(errno, unix.EIO):
		return false, true
	}
	return false, false
}

// Name asks the descriptor: it knows of renaming and of other namespaces.
func (d *linuxDevice) Name() (string, error) {
	conn, err := d.File().SyscallConn()
	if err != nil {
		return "", err
	}
	var name string
	var nameErr error
	if err := conn.Control(func(fd uintptr) { name, _, nameErr = tunInterface(int(fd)) }); err != nil {
		return "", err
	}
	return name, nameErr
}

// MTU asks the namespace in which the device was made. When the interface has
// left it, or the system does not tell (Android), the last known MTU stands.
func (d *linuxDevice) MTU() (int, error) {
	name, err := d.Name()
	if err != nil {
		return 0, err
	}
	mtu, err := d.control.get(unix.SIOCGIFMTU, name)
	switch known := int(d.mtu.Load()); {
	case err == nil:
		d.mtu.Store(int64(mtu))
		return mtu, nil
	case known > 0 && (errors.Is(err, unix.ENODEV) || errors.Is(err, fs.ErrPermission)):
		return known, nil
	}
	return 0, os.NewSyscallError("SIOCGIFMTU", err)
}

func (d *linuxDevice) Events() <-chan tun.Event { return d.monitor.events }

// Close is called once, by the guard.
func (d *linuxDevice) Close() error {
	err := d.Device.Close()
	d.monitor.stop()
	d.control.close()
	return err
}
