package tundev

import (
	"os"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/internal/deverr"
	"tstun/internal/tunqueue"
	"tstun/logger"
)

// direct is what Create, FromFile and AsDirect return: a queue that keeps the
// closeGuard's promises about Close.
type direct struct {
	*closeGuard
	queue *tunqueue.Queue
}

// newDirect takes over inner, whose Read and Write are the queue's.
func newDirect(inner tun.Device, q *tunqueue.Queue) *direct {
	return &direct{closeGuard: newCloseGuard(inner, nil, nil), queue: q}
}

func (d *direct) ReadReady(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	if d.closed() {
		return 0, os.ErrClosed
	}
	if err := d.checkOffset(offset); err != nil {
		return 0, err
	}
	n, err := d.queue.ReadReady(bufs, sizes, offset, wait)
	if err != nil {
		err = d.closedError(err)
	}
	return n, err
}

func (d *direct) Interrupt()   { d.queue.Interrupt() }
func (d *direct) Abandon() int { return d.queue.Discard() }

// Write bypasses the closeGuard's, which would leave empty packets out: the
// indices in an error are those of bufs.
func (d *direct) Write(bufs [][]byte, offset int) (int, error) {
	if d.closed() {
		return 0, os.ErrClosed
	}
	if err := d.checkOffset(offset); err != nil {
		return 0, err
	}
	n, err := d.queue.Write(bufs, offset)
	if err != nil {
		err = d.closedError(writeError(err))
	}
	return n, err
}

// writeError returns the public form of an error of a queue.
func writeError(err error) error {
	if lost, ok := err.(*tunqueue.LostError); ok {
		return &WriteError{Lost: lost.Lost, Err: lost.Err}
	}
	return err
}

// This does not compile unless a queue's Malformed is the public one.
var _ = [1]struct{}{}[Malformed-tunqueue.Malformed]

func asDirect(logf logger.Logf, dev tun.Device) (Direct, bool) {
	switch d := dev.(type) {
	case *direct:
		d.queue.LogTo(logf)
		return d, true
	case *tun.NativeTun:
		return directOfNative(logf, d)
	}
	return nil, false
}

// native is wireguard-go's device with a queue for reading and writing.
type native struct {
	*tun.NativeTun // owns the descriptor
	queue          *tunqueue.Queue
}

func (n native) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	return n.queue.Read(bufs, sizes, offset)
}

func (n native) Write(bufs [][]byte, offset int) (int, error) { return n.queue.Write(bufs, offset) }

func (n native) BatchSize() int { return tunqueue.BatchSize }

// Close ignores an error of wireguard-go's listener, which may have ended
// before it was told to: the file is closed all the same.
func (n native) Close() error {
	err := n.NativeTun.Close()
	if deverr.ClosedBefore(err) {
		return nil
	}
	return err
}

// directOfNative makes a direct device of dev, unless its file is not
// registered with the poller, or it carries frames with virtio headers.
func directOfNative(logf logger.Logf, dev *tun.NativeTun) (Direct, bool) {
	conn, err := dev.File().SyscallConn()
	if err != nil || dev.File().SetReadDeadline(time.Time{}) != nil {
		return nil, false
	}
	log := new(tunqueue.DeferredLog)
	log.SendTo(logf)
	var a tunqueue.Attachment
	if ctlErr := conn.Control(func(fd uintptr) { a, err = tunqueue.Inspect(int(fd), log) }); ctlErr != nil || err != nil {
		return nil, false
	}
	if a.Frames {
		return nil, false
	}
	q, err := tunqueue.New(dev.File(), a, log)
	if err != nil {
		return nil, false
	}
	return newDirect(native{dev, q}, q), true
}
