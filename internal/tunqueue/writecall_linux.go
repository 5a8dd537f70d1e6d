package tunqueue

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"tstun/internal/deverr"
	"tstun/internal/gso"
)

// writeCall is the working memory of one Write.
type writeCall struct {
	w         *writer
	once      func(fd uintptr)
	whenReady func(fd uintptr) bool
	join      gso.Joiner
	iov       []unix.Iovec
	virtio    [gso.VirtioLen]byte
	header    [gso.MaxHeader]byte
	writeState
}

// writeState is the part of a writeCall that begins anew with each Write.
type writeState struct {
	bufs    [][]byte
	offset  int
	group   int           // the next to be written
	single  int           // if singly is set, the packet of the group that is the next to be written
	singly  bool          // the group is written packet by packet
	blocked bool          // the device is full
	refused syscall.Errno // why the kernel refused a joined packet, or 0 if it did not
	written int           // number of packets
	used    int           // the largest length that iov had
	lost    []int         // nil until a packet is lost
	err     error         // why the first packet was lost, or errDeleted
}

func newWriteCall() *writeCall {
	c := new(writeCall)
	c.once, c.whenReady = func(fd uintptr) { c.writeGroups(fd) }, c.writeGroups
	return c
}

// writeGroups writes groups until all are written. It reports false if the
// device is full.
func (c *writeCall) writeGroups(fd uintptr) bool {
	c.blocked = false
	for c.group < c.join.Groups() {
		var errno syscall.Errno
		if c.join.Len(c.group) > 1 && !c.singly {
			errno = c.writeJoined(fd)
		} else {
			errno = c.writeSingly(fd)
		}
		switch deverr.ResultOf(errno) {
		case deverr.OK:
			c.group++
			c.singly = false
		case deverr.NotReady:
			c.blocked = true
			return false
		case deverr.Down:
			c.loseRest(errno)
			return true
		case deverr.Deleted:
			c.err = errDeleted
			return true
		case deverr.Refused:
			c.refused = errno
			c.beginSingly()
		default: // of a joined packet: its packets may do better
			c.beginSingly()
		}
	}
	return true
}

// beginSingly makes the group be written packet by packet.
func (c *writeCall) beginSingly() {
	c.singly, c.single = true, c.join.First(c.group)
}

// writeJoined writes the group as one super-packet.
func (c *writeCall) writeJoined(fd uintptr) syscall.Errno {
	first := c.join.First(c.group)
	v := c.join.Header(c.group, c.bufs[first][c.offset:], c.header[:])
	v.Encode(c.virtio[:])
	header := int(v.HeaderLen)
	c.iov = append(c.iov[:0], iovec(c.virtio[:]), iovec(c.header[:header]))
	for i := first; i >= 0; i = c.join.After(i) {
		c.iov = append(c.iov, iovec(c.bufs[i][c.offset+header:]))
	}
	errno := c.writev(fd)
	if errno == 0 {
		c.written += c.join.Len(c.group)
	}
	return errno
}

// writeSingly writes the packets of the group one by one. A failure that
// concerns one packet loses that packet; writeSingly returns any other.
func (c *writeCall) writeSingly(fd uintptr) syscall.Errno {
	if !c.singly {
		c.beginSingly()
	}
	for ; c.single >= 0; c.single = c.join.After(c.single) {
		c.iov = c.iov[:0]
		if c.w.virtio {
			c.virtio = [gso.VirtioLen]byte{}
			c.iov = append(c.iov, iovec(c.virtio[:]))
		}
		c.iov = append(c.iov, iovec(c.bufs[c.single][c.offset:]))
		errno := c.writev(fd)
		switch deverr.ResultOf(errno) {
		case deverr.OK:
			c.written++
		case deverr.NotReady, deverr.Down, deverr.Deleted:
			return errno
		default:
			c.lose(c.single, errno)
		}
	}
	return 0
}

// writev writes the packet in iov.
func (c *writeCall) writev(fd uintptr) syscall.Errno {
	c.used = max(c.used, len(c.iov))
	for {
		if _, errno := c.w.writev(fd, c.iov); deverr.ResultOf(errno) != deverr.Interrupted {
			return errno
		}
	}
}

// lose records that packet i was not written.
func (c *writeCall) lose(i int, errno syscall.Errno) {
	if c.err == nil {
		c.err = os.NewSyscallError("writev", errno)
	}
	c.lost = append(c.lost, i)
}

// loseRest records that no packet from the present one on was written.
func (c *writeCall) loseRest(errno syscall.Errno) {
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
