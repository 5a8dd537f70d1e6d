package tundev

import (
	"errors"
	"os"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/deverr"
)

// linuxDevice is a TUN of which it owns everything: the descriptor, through
// which its port moves packets, and the sockets for MTU and events.
type linuxDevice struct {
	*port
	control *control
	monitor *monitor
	lastMTU atomic.Int64 // last known
	sockets func(fd int) (*control, *os.File, error)
}

// link is what a device is made of.
type link struct {
	attachment
	control *control
	notice  *os.File // rtnetlink socket, nil for none
	mtu     int      // last known, 0 for none
	notes   *notes
	// sockets opens new ones when the interface has been moved, which fails
	// without rights.
	sockets func(fd int) (*control, *os.File, error)
}

// newLinuxDevice makes a device of l, whose descriptor is non-blocking, and
// takes over what is in it, also on error.
func newLinuxDevice(l link) (tun.Device, error) {
	// From here the file owns the descriptor.
	file := os.NewFile(uintptr(l.fd), l.name)
	fail := func(err error) (tun.Device, error) {
		file.Close()
		l.control.close()
		if l.notice != nil {
			l.notice.Close()
		}
		return nil, err
	}
	name, _, err := tunInterface(l.fd)
	if err != nil {
		return fail(err)
	}
	p, err := newPort(file, l.attachment, l.notes)
	if err != nil {
		return fail(err)
	}
	index, err := l.control.find(name)
	if err != nil && l.notice != nil { // moved away already
		l.notice.Close()
		l.notice = nil
	}
	// What is known from now on, also after Close: what was asked for may have
	// been refused.
	if mtu, err := l.control.mtu(name); err == nil {
		l.mtu = mtu
	}
	d := &linuxDevice{port: p, control: l.control, sockets: l.sockets}
	d.lastMTU.Store(int64(l.mtu))
	d.monitor = newMonitor(l.notice, index, d)
	return newDirect(d, p), nil
}

func (d *linuxDevice) File() *os.File { return d.file }

func (d *linuxDevice) BatchSize() int { return batchSize }

// Name asks the descriptor: it knows of renaming and of other namespaces.
func (d *linuxDevice) Name() (name string, err error) {
	ctlErr := d.descriptor(func(fd int) { name, _, err = tunInterface(fd) })
	return name, errors.Join(ctlErr, err)
}

// descriptor runs f while the descriptor is sure to be open.
func (d *linuxDevice) descriptor(f func(fd int)) error {
	return d.reader.conn.Control(func(fd uintptr) { f(int(fd)) })
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
	case known > 0 && deverr.MTUUnknown(err):
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
	err := d.file.Close()
	d.monitor.stop()
	d.control.close()
	return err
}
