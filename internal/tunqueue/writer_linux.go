package tunqueue

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"tstun/internal/gso"
)

// writer is the sending side of a Queue.
type writer struct {
	conn    syscall.RawConn
	name    string // of the interface, for the log
	log     *DeferredLog
	virtio  bool
	kinds   gso.Kinds   // which packets may be joined
	refused atomic.Bool // the kernel refused a joined packet: join no more
	writev  Call
	calls   sync.Pool // of *writeCall
}

func (w *writer) init(conn syscall.RawConn, a Attachment, log *DeferredLog) {
	w.conn, w.name, w.log = conn, a.Name, log
	w.virtio = a.Virtio && !a.Frames
	w.kinds = gso.Kinds{
		TCP: w.virtio && a.Offloads&OffloadTCP == OffloadTCP,
		UDP: w.virtio && a.Offloads&OffloadUDP == OffloadUDP,
	}
	w.writev = writev
}

// write is Queue's Write.
func (w *writer) write(bufs [][]byte, offset int) (int, error) {
	c, ok := w.calls.Get().(*writeCall)
	if !ok {
		c = newWriteCall()
	}
	c.w, c.bufs, c.offset = w, bufs, offset
	defer c.release()
	kinds := w.kinds
	if w.refused.Load() {
		kinds = gso.Kinds{}
	}
	c.join.Plan(bufs, offset, kinds)
	// Control first: conn.Write lets one caller in at a time.
	err := w.conn.Control(c.once)
	if err == nil && c.blocked {
		err = w.conn.Write(c.whenReady)
	}
	if err != nil {
		c.err = errDeleted
	}
	if c.refused != 0 { // logged here, because inside Control a log that closes the file would wait for itself
		w.stopJoining(c.refused)
	}
	return c.result()
}

// stopJoining makes all later calls write packet by packet.
func (w *writer) stopJoining(errno syscall.Errno) {
	if !w.refused.Swap(true) {
		w.log.Logf("tundev: %s: the kernel refuses joined packets, they are written one by one from now on: %v", w.name, errno)
	}
}

// release returns c to the pool without anything of the caller's.
func (c *writeCall) release() {
	clear(c.iov[:c.used])
	c.writeState = writeState{}
	c.w.calls.Put(c)
}

// result returns what Write returns.
func (c *writeCall) result() (int, error) {
	if c.err == errDeleted {
		return c.written, c.err
	}
	if c.lost == nil {
		return len(c.bufs), nil
	}
	slices.Sort(c.lost) // groups of interleaved flows lose theirs in another order
	return len(c.bufs) - len(c.lost), &LostError{Lost: c.lost, Err: c.err}
}
