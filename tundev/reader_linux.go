package tundev

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"tstun/internal/gso"
)

const (
	// front is how much of a packet is read straight into the caller's
	// buffer when there are virtio headers: a whole one at any usual MTU. Of
	// a super-packet it has to be copied to what is behind it.
	front = 2048

	// maxSuper is the longest packet that a TUN sends: the IPv6 header is not
	// in the 16 bits of its payload length.
	maxSuper = 40 + maxMTU
)

// reader is the receiving side of a port.
type reader struct {
	conn   syscall.RawConn
	waker  waker
	virtio bool
	readv  func(fd uintptr, iov []unix.Iovec) (int, syscall.Errno)

	mu       sync.Mutex // guards what follows: one read at a time
	take     func(fd uintptr) bool
	call     readCall
	splitter gso.Splitter // its packet is in scratch
	header   [gso.VirtioLen]byte
	iov      [3]unix.Iovec
	// scratch takes what does not fit in front, from the place on at which
	// it would be if all of the packet were here.
	scratch []byte
}

// readCall is what one readReady works on.
type readCall struct {
	bufs   [][]byte
	sizes  []int
	offset int
	wait   bool
	n      int // of bufs that are filled
	err    error
}

func (r *reader) init(file *os.File, conn syscall.RawConn, virtio bool) {
	r.conn, r.virtio = conn, virtio
	r.waker.file = file
	r.readv = readVector
	r.take = r.takeReady // once: a method value allocates
	r.scratch = make([]byte, maxSuper+front)
}

func (r *reader) interrupt() { r.waker.interrupt() }

func (r *reader) abandon() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.splitter.Remaining()
	r.splitter = gso.Splitter{}
	return n
}

// readReady is Direct's ReadReady.
func (r *reader) readReady(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bufs = bufs[:min(len(bufs), len(sizes))]
	r.call = readCall{bufs: bufs, sizes: sizes, offset: offset, wait: wait}
	r.split()
	err := r.drain()
	n := r.call.n
	r.call, r.iov = readCall{}, [3]unix.Iovec{} // nothing of the caller's is kept
	if n > 0 {
		return n, nil // what ends the device comes again with the next call
	}
	return 0, err
}

// drain takes what is ready, and waits for something if there is nothing yet.
func (r *reader) drain() error {
	switch c := &r.call; {
	case c.n == len(c.bufs):
		return nil
	case !c.wait || c.n > 0:
		return r.poll()
	}
	return r.await()
}

// await is drain that waits.
func (r *reader) await() error {
	if !r.waker.begin() {
		return nil
	}
	err := r.conn.Read(r.take)
	r.waker.end()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.waker.lift()
		return nil
	}
	return r.outcome(err)
}

// poll is drain that does not wait.
func (r *reader) poll() error {
	r.call.wait = false
	err := r.conn.Read(r.take)
	for errors.Is(err, os.ErrDeadlineExceeded) { // meant for an earlier read
		r.waker.lift()
		err = r.conn.Read(r.take)
	}
	return r.outcome(err)
}

// outcome is the result of a read on which the poller said err: nothing, or
// that the file is closed, or that its interface is gone.
func (r *reader) outcome(err error) error {
	if err != nil {
		return errDeleted
	}
	return r.call.err
}

// takeReady reads until nothing is left, the buffers are full, or reading
// fails. It reports false to be called again when there is something.
func (r *reader) takeReady(fd uintptr) bool {
	c := &r.call
	for c.n < len(c.bufs) {
		n, errno := r.readv(fd, r.aim())
		switch errno {
		case 0:
			r.accept(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return c.n > 0 || !c.wait
		case unix.EBADFD:
			c.err = errDeleted
			return true
		default:
			c.err = os.NewSyscallError("readv", errno)
			return true
		}
	}
	return true
}

// room is the space for the next packet, and head the part of it that is
// read into.
func (r *reader) room() (room, head []byte) {
	b := r.call.bufs[r.call.n]
	room = b[min(r.call.offset, len(b)):]
	if r.virtio {
		return room, room[:min(len(room), front)]
	}
	return room, room
}

// aim returns where the next packet is read to.
func (r *reader) aim() []unix.Iovec {
	_, head := r.room()
	if !r.virtio {
		r.iov[1], r.iov[2] = piece(head), piece(r.scratch)
		return r.iov[1:]
	}
	r.iov[0], r.iov[1], r.iov[2] = piece(r.header[:]), piece(head), piece(r.scratch[len(head):])
	return r.iov[:]
}

// accept makes packets of n bytes that were read.
func (r *reader) accept(n int) {
	if !r.virtio {
		r.put(n)
		return
	}
	if n -= gso.VirtioLen; n <= 0 {
		r.put(0)
		return
	}
	var v gso.Virtio
	v.Decode(r.header[:])
	room, head := r.room()
	if v.Super() {
		copy(r.scratch[:n], head)
		r.acceptSuper(v, r.scratch[:n])
		return
	}
	if n > len(head) {
		copy(room[len(head):], r.scratch[len(head):n])
	}
	if n <= len(room) && v.Complete(room[:n]) != nil {
		n = Malformed
	}
	r.put(n)
}

func (r *reader) acceptSuper(v gso.Virtio, pkt []byte) {
	opts, err := v.Options(pkt)
	if err == nil {
		err = r.splitter.Reset(pkt, opts)
	}
	if err != nil {
		r.put(Malformed)
		return
	}
	r.split()
}

// split hands out segments while there are buffers.
func (r *reader) split() {
	for r.call.n < len(r.call.bufs) && r.splitter.More() {
		room, _ := r.room()
		size := r.splitter.Size()
		if _, err := r.splitter.Next(room); err != nil {
			r.splitter.Skip() // too long for the buffer, which size tells
		}
		r.put(size)
	}
}

// put notes that the next buffer has a packet of size bytes.
func (r *reader) put(size int) {
	r.call.sizes[r.call.n] = size
	r.call.n++
}
