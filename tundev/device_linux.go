package tundev

import (
	"errors"
	"os"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/deverr"
	"tstun/internal/tunqueue"
)

// linuxDevice is a TUN that owns its descriptor, through which the queue moves
// packets, and the sockets for MTU and events.
type linuxDevice struct {
	*tunqueue.Queue
	control *control
	monitor *monitor
	lastMTU atomic.Int64 // last known
	sockets func(fd int) (*control, *os.File, error)
}

// deviceParts is what a linuxDevice is made of.
type deviceParts struct {
	tunqueue.Attachment
	control       *control
	notifications *os.File // rtnetlink socket, or nil if there is none
	mtu           int      // last known, or 0 if it is not known
	log           *tunqueue.DeferredLog
	// sockets opens the sockets anew when the interface has been moved. It
	// fails without rights.
	sockets func(fd int) (*control, *os.File, error)
}

// newLinuxDevice makes a device of p, whose descriptor is non-blocking. It takes
// over what is in p, also on error.
func newLinuxDevice(p deviceParts) (tun.Device, error) {
	// From here the file owns the descriptor.
	file := os.NewFile(uintptr(p.FD), p.Name)
	fail := func(err error) (tun.Device, error) {
		file.Close()
		p.control.close()
		if p.notifications != nil {
			p.notifications.Close()
		}
		return nil, err
	}
	name, _, err := tunqueue.Interface(p.FD)
	if err != nil {
		return fail(err)
	}
	q, err := tunqueue.New(file, p.Attachment, p.log)
	if err != nil {
		return fail(err)
	}
	index, err := p.control.find(name)
	if err != nil && p.notifications != nil { // moved away already
		p.notifications.Close()
		p.notifications = nil
	}
	// The system may have refused the MTU that was asked for.
	if mtu, err := p.control.mtu(name); err == nil {
		p.mtu = mtu
	}
	d := &linuxDevice{Queue: q, control: p.control, sockets: p.sockets}
	d.lastMTU.Store(int64(p.mtu))
	d.monitor = newMonitor(p.notifications, index, d)
	return newDirect(d, q), nil
}

func (d *linuxDevice) BatchSize() int { return tunqueue.BatchSize }

// Name asks the descriptor, which knows the present name in any namespace.
func (d *linuxDevice) Name() (name string, err error) {
	ctlErr := d.WithDescriptor(func(fd int) { name, _, err = tunqueue.Interface(fd) })
	return name, errors.Join(ctlErr, err)
}

// MTU returns the MTU in the namespace that the interface is in, or the last
// known one if the system does not tell.
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
	case known > 0 && deverr.MTUUnknown(err):
		return known, nil
	}
	return 0, err
}

// state queries the state of the link, for the monitor.
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

// reopen opens the sockets in the namespace that the interface has been moved to,
// for the monitor. On an error it closes the old ones: an interface of the same
// name in the old namespace is another one.
func (d *linuxDevice) reopen() (*os.File, int, error) {
	var ctl *control
	var notifications *os.File
	var err error
	if ctlErr := d.WithDescriptor(func(fd int) { ctl, notifications, err = d.sockets(fd) }); ctlErr != nil || err != nil {
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
		if notifications != nil {
			notifications.Close()
		}
		return nil, 0, err
	}
	return notifications, index, nil
}

func (d *linuxDevice) Events() <-chan tun.Event { return d.monitor.events }

// Close closes the descriptor and the sockets. The closeGuard calls it once.
func (d *linuxDevice) Close() error {
	err := d.File().Close()
	d.monitor.stop()
	d.control.close()
	return err
}
