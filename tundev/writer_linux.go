package tundev

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"tstun/internal/gso"
)

// writer is the sending side of a port.
type writer struct {
	conn     syscall.RawConn
	name     string // for the log
	notes    *notes
	virtio   bool
	kinds    gso.Kinds   // what may be joined
	refused  atomic.Bool // the kernel refused a joined packet: join no more
	writev   func(fd uintptr, iov []unix.Iovec) (int, syscall.Errno)
	writings sync.Pool // of *writing
}

func (w *writer) init(conn syscall.RawConn, a attachment, n *notes) {
	w.conn, w.name, w.notes = conn, a.name, n
	w.virtio = a.virtio && !a.frames
	w.kinds = gso.Kinds{
		TCP: w.virtio && a.offloads&offloadTCP == offloadTCP,
		UDP: w.virtio && a.offloads&offloadUDP == offloadUDP,
	}
	w.writev = writeVector
}

// Write is Direct's.
func (w *writer) Write(bufs [][]byte, offset int) (int, error) {
	c, ok := w.writings.Get().(*writing)
	if !ok {
		c = new(writing)
		c.once, c.again = func(fd uintptr) { c.send(fd) }, c.send
	}
	c.w, c.bufs, c.offset = w, bufs, offset
	defer c.put()
	kinds := w.kinds
	if w.refused.Load() {
		kinds = gso.Kinds{}
	}
	c.join.Plan(bufs, offset, kinds)
	// Not conn.Write, which lets one caller in at a time.
	err := w.conn.Control(c.once)
	if err == nil && c.blocked {
		err = w.conn.Write(c.again)
	}
	if err != nil {
		c.err = errDeleted
	}
	if c.refused != 0 { // not said inside Control, where a Close would wait for itself
		w.stop(c.refused)
	}
	return c.result()
}

// stop joins no packets from now on.
func (w *writer) stop(errno syscall.Errno) {
	if !w.refused.Swap(true) {
		w.notes.logf("tundev: %s: the kernel refuses joined packets, they are written one by one from now on: %v", w.name, errno)
	}
}

// writing is the working memory of one Write.
type writing struct {
	w      *writer
	once   func(fd uintptr)
	again  func(fd uintptr) bool
	join   gso.Joiner
	iov    []unix.Iovec
	virtio [gso.VirtioLen]byte
	header [gso.MaxHeader]byte
	writingCall
}

// writingCall is the part of writing that is new for each Write.
type writingCall struct {
	bufs    [][]byte
	offset  int
	group   int           // the next to be written
	single  int           // packet of it that is the next to be written singly, if singly is set
	singly  bool          // the kernel refused the group as one
	blocked bool          // the device is full
	refused syscall.Errno // what the kernel said of a joined packet, if it takes none
	sent    int           // packets written
	used    int           // most elements of iov at a time
	lost    []int         // nil until something is
	err     error         // why the first was lost, or errDeleted
}

// put gives c back without anything of the caller's.
func (c *writing) put() {
	clear(c.iov[:c.used])
	c.writingCall = writingCall{}
	c.w.writings.Put(c)
}

// result is what Write returns.
func (c *writing) result() (int, error) {
	if c.err == errDeleted {
		return c.sent, c.err
	}
	if c.lost == nil {
		return len(c.bufs), nil
	}
	slices.Sort(c.lost) // interleaved groups lose theirs in another order
	return len(c.bufs) - len(c.lost), &WriteError{Lost: c.lost, Err: c.err}
}

// send writes groups until all are, and reports false if the device is full.
func (c *writing) send(fd uintptr) bool {
	c.blocked = false
	for c.group < c.join.Groups() {
		var errno syscall.Errno
		if c.join.Len(c.group) > 1 && !c.singly {
			errno = c.sendJoined(fd)
		} else {
			errno = c.sendSingly(fd)
		}
		switch errno {
		case 0:
			c.group++
			c.singly = false
		case unix.EAGAIN:
			c.blocked = true
			return false
		case unix.EIO: // the link is down, for the rest as well
			c.loseRest(errno)
			return true
		case unix.EBADFD:
			c.err = errDeleted
			return true
		default: // of a joined group only: try its packets
			if errno == unix.EINVAL {
				c.refused = errno
			}
			c.singly, c.single = true, c.join.First(c.group)
		}
	}
	return true
}

// sendJoined writes the group as one super-packet.
func (c *writing) sendJoined(fd uintptr) syscall.Errno {
	first := c.join.First(c.group)
	v := c.join.Header(c.group, c.bufs[first][c.offset:], c.header[:])
	v.Encode(c.virtio[:])
	header := int(v.HeaderLen)
	c.iov = append(c.iov[:0], piece(c.virtio[:]), piece(c.header[:header]))
	for i := first; i >= 0; i = c.join.After(i) {
		c.iov = append(c.iov, piece(c.bufs[i][c.offset+header:]))
	}
	errno := c.write(fd)
	if errno == 0 {
		c.sent += c.join.Len(c.group)
	}
	return errno
}

// sendSingly writes the group's packets as they are. What is wrong with one of
// them costs that one.
func (c *writing) sendSingly(fd uintptr) syscall.Errno {
	if !c.singly {
		c.singly, c.single = true, c.join.First(c.group)
	}
	for ; c.single >= 0; c.single = c.join.After(c.single) {
		c.iov = c.iov[:0]
		if c.w.virtio {
			c.virtio = [gso.VirtioLen]byte{}
			c.iov = append(c.iov, piece(c.virtio[:]))
		}
		c.iov = append(c.iov, piece(c.bufs[c.single][c.offset:]))
		switch errno := c.write(fd); errno {
		case 0:
			c.sent++
		case unix.EAGAIN, unix.EIO, unix.EBADFD:
			return errno
		default:
			c.lose(c.single, errno)
		}
	}
	return 0
}

func (c *writing) write(fd uintptr) syscall.Errno {
	c.used = max(c.used, len(c.iov))
	for {
		if _, errno := c.w.writev(fd, c.iov); errno != unix.EINTR {
			return errno
		}
	}
}

func (c *writing) lose(i int, errno syscall.Errno) {
	if c.err == nil {
		c.err = os.NewSyscallError("writev", errno)
	}
	c.lost = append(c.lost, i)
}

// loseRest gives up all packets that have not been written.
func (c *writing) loseRest(errno syscall.Errno) {
	i := c.join.First(c.group)
	if c.singly {
		i = c.single
	}
	for {
		for ; i >= 0; i = c.join.After(i) {
			c.lose(i, errno)
		}
		if c.group++; c.group >= c.join.Groups() {
			return
		}
		i = c.join.First(c.group)
	}
}
