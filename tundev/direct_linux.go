package tundev

import (
	"os"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/deverr"
	"tstun/logger"
)

// direct is what Create, FromFile and AsDirect return: the guard's promises
// about Close around a port.
type direct struct {
	*guard
	port *port
}

// newDirect takes over inner, whose Read and Write are the port's.
func newDirect(inner tun.Device, p *port) *direct {
	return &direct{guard: newGuard(inner, nil, nil), port: p}
}

func (d *direct) ReadReady(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	if d.closed() {
		return 0, os.ErrClosed
	}
	if err := d.checkOffset(offset); err != nil {
		return 0, err
	}
	n, err := d.port.readReady(bufs, sizes, offset, wait)
	if err != nil {
		err = d.closedError(err)
	}
	return n, err
}

func (d *direct) Interrupt()   { d.port.interrupt() }
func (d *direct) Abandon() int { return d.port.abandon() }

// Write is not the guard's: the indices in an error are those of bufs.
func (d *direct) Write(bufs [][]byte, offset int) (int, error) {
	if d.closed() {
		return 0, os.ErrClosed
	}
	if err := d.checkOffset(offset); err != nil {
		return 0, err
	}
	n, err := d.port.Write(bufs, offset)
	if err != nil {
		err = d.closedError(err)
	}
	return n, err
}

func asDirect(logf logger.Logf, dev tun.Device) (Direct, bool) {
	switch d := dev.(type) {
	case *direct:
		d.port.notes.to(logf)
		return d, true
	case *tun.NativeTun:
		return adopt(logf, d)
	}
	return nil, false
}

// native is wireguard-go's device with this package's reading and writing.
type native struct {
	*tun.NativeTun // owns the descriptor
	port           *port
}

func (n native) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	return n.port.Read(bufs, sizes, offset)
}

func (n native) Write(bufs [][]byte, offset int) (int, error) { return n.port.Write(bufs, offset) }

func (n native) BatchSize() int { return batchSize }

// Close leaves out what wireguard-go says when its listener has ended before it
// could be told to: the file is closed all the same.
func (n native) Close() error {
	err := n.NativeTun.Close()
	if deverr.ClosedBefore(err) {
		return nil
	}
	return err
}

// adopt makes a direct device of dev, unless its file is not registered with
// the poller, or frames come with virtio headers.
func adopt(logf logger.Logf, dev *tun.NativeTun) (Direct, bool) {
	conn, err := dev.File().SyscallConn()
	if err != nil || dev.File().SetReadDeadline(noDeadline) != nil {
		return nil, false
	}
	notes := new(notes)
	notes.to(logf)
	var a attachment
	if ctlErr := conn.Control(func(fd uintptr) { a, err = inspect(int(fd), notes) }); ctlErr != nil || err != nil {
		return nil, false
	}
	if a.frames {
		return nil, false
	}
	p, err := newPort(dev.File(), a, notes)
	if err != nil {
		return nil, false
	}
	return newDirect(native{dev, p}, p), true
}

// batchSize is how many packets a read or write takes: IdealBatchSize of
// wireguard-go's package conn, which sizes its batches by the larger of that
// of its socket and of its device.
const batchSize = 128

// attachment is what is known of a descriptor that is attached to an
// interface.
type attachment struct {
	fd       int
	name     string
	virtio   bool // IFF_VNET_HDR
	frames   bool // IFF_TAP
	offloads uint // TUN_F_*, granted
}

// inspect asks the descriptor what it is and switches on the offloads that
// the kernel has.
func inspect(fd int, n *notes) (attachment, error) {
	name, flags, err := tunInterface(fd)
	if err != nil {
		return attachment{}, err
	}
	a := attachment{
		fd:     fd,
		name:   name,
		virtio: flags&unix.IFF_VNET_HDR != 0,
		frames: flags&unix.IFF_TAP != 0,
	}
	if a.virtio && !a.frames {
		// Refused altogether, the super-packets that may come are cut all
		// the same.
		a.offloads, _ = negotiate(n.logf, name, fd, setOffloads)
		err = setVirtioSize(fd)
	}
	return a, err
}
