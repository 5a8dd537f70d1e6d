package tunqueue

import (
	"errors"
	"math"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"tstun/internal/deverr"
	"tstun/internal/gso"
)

// Malformed is the size of a packet that came with an impossible virtio header.
// The bytes in its buffer mean nothing.
const Malformed = -1

const (
	// directLen is how many bytes of a packet the kernel writes straight into
	// the caller's buffer when there are virtio headers. A packet of any usual
	// MTU is no longer. Of a super-packet they are copied to the rest of it.
	directLen = 2048

	// maxSuper is the length of the longest packet that a TUN sends: an IPv6
	// header, which the 16 bits of the payload length do not count, and the
	// payload (RFC 8200 §3).
	maxSuper = 40 + math.MaxUint16

	// longSuper is how many segments a super-packet has that a call returns without
	// looking for more: what is read behind it would only be further from the
	// processor's cache when it is encrypted.
	longSuper = 32
)

// reader is the receiving side of a Queue.
type reader struct {
	conn   syscall.RawConn
	waker  waker
	virtio bool
	readv  Call

	mu        sync.Mutex // guards what follows: one read at a time
	whenReady func(fd uintptr) bool
	call      readCall
	splitter  gso.Splitter // of the super-packet in overflow
	header    [gso.VirtioLen]byte
	iov       []unix.Iovec
	aim       aim
	inPlace   int // segments whose payload is in the caller's buffers
	// overflow holds the bytes of a packet that are not in the caller's
	// buffer, at the places where they are in the packet.
	overflow []byte
}

// readCall is the state of one read.
type readCall struct {
	bufs   [][]byte
	sizes  []int
	offset int
	wait   bool
	waited bool // there was nothing at first
	n      int  // number of bufs that are filled
	err    error
}

func (r *reader) init(file *os.File, conn syscall.RawConn, virtio bool) {
	r.conn, r.virtio = conn, virtio
	r.waker.file = file
	r.readv = readv
	r.whenReady = r.readAvailable // here, because a method value allocates
	r.overflow = make([]byte, maxSuper+directLen)
}

// discard is Queue's Discard.
func (r *reader) discard() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.splitter.Remaining()
	r.splitter = gso.Splitter{}
	return n
}

// read is Queue's ReadReady. A packet for which it waited it returns at once: mostly there is
// no other, and if there are, the next call takes them together.
func (r *reader) read(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bufs = bufs[:min(len(bufs), len(sizes))]
	r.call = readCall{bufs: bufs, sizes: sizes, offset: offset, wait: wait}
	r.split()
	err := r.fill()
	n := r.call.n
	clear(r.iov) // keep nothing of the caller's
	r.call = readCall{}
	if n > 0 {
		return n, nil // an error that ends the device comes again
	}
	return 0, err
}

// fill reads the packets that are ready. It waits only if there is none and the
// caller wants to wait.
func (r *reader) fill() error {
	switch c := &r.call; {
	case c.n == len(c.bufs):
		return nil
	case !c.wait || c.n > 0:
		return r.poll()
	}
	return r.await()
}

// await reads the packets that are ready, and waits for one unless it is
// interrupted.
func (r *reader) await() error {
	if !r.waker.begin() {
		return nil
	}
	err := r.conn.Read(r.whenReady)
	r.waker.end()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.waker.clearDeadline()
		return nil
	}
	return r.failure(err)
}

// poll reads the packets that are ready.
func (r *reader) poll() error {
	r.call.wait = false
	err := r.conn.Read(r.whenReady)
	for errors.Is(err, os.ErrDeadlineExceeded) { // meant for an earlier read
		r.waker.clearDeadline()
		err = r.conn.Read(r.whenReady)
	}
	return r.failure(err)
}

// failure returns the error of a read for which the poller returned err, or nil
// if it succeeded. The poller fails when the file is closed or its interface
// deleted.
func (r *reader) failure(err error) error {
	if err != nil {
		return errDeleted
	}
	return r.call.err
}

// readAvailable reads until there is enough, nothing is left, the buffers are full, or
// reading fails. It reports false for the poller to call it again when a packet comes.
func (r *reader) readAvailable(fd uintptr) bool {
	c := &r.call
	for c.n < len(c.bufs) {
		before := c.n
		n, errno := r.readv(fd, r.nextVector())
		switch deverr.ResultOf(errno) {
		case deverr.OK:
			r.accept(n)
			if c.waited || c.n-before >= longSuper {
				return true
			}
		case deverr.Interrupted:
		case deverr.NotReady:
			c.waited = c.wait
			return c.n > 0 || !c.wait
		case deverr.Deleted:
			c.err = errDeleted
			return true
		default:
			c.err = os.NewSyscallError("readv", errno)
			return true
		}
	}
	return true
}

// space returns the memory in the caller's buffer for packet i from the next one on.
func (r *reader) space(i int) []byte {
	b := r.call.bufs[r.call.n+i]
	return b[min(r.call.offset, len(b)):]
}

// nextVector returns the memory that the next packet is read to.
func (r *reader) nextVector() []unix.Iovec {
	r.iov = r.iov[:0]
	if !r.virtio {
		r.iov = append(r.iov, iovec(r.space(0)), iovec(r.overflow))
		return r.iov
	}
	r.iov = append(r.iov, iovec(r.header[:]))
	r.takeAim()
	return r.iov
}

// accept returns to the caller what the last readv of n bytes read: a packet, or
// the segments of a super-packet.
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
	if v.Super() {
		r.acceptSuper(v, n)
		return
	}
	all := r.space(0)
	r.gather(all, n)
	r.aim.size = 0
	if n <= len(all) && v.Complete(all[:n]) != nil {
		n = Malformed
	}
	r.put(n)
}

// acceptSuper begins to cut a super-packet of n bytes.
func (r *reader) acceptSuper(v gso.Virtio, n int) {
	a := &r.aim
	copy(r.overflow[:n], r.space(0)[:a.first])
	err := r.begin(v, n)
	hit := err == nil && a.size == int(v.Size) && a.header == r.splitter.Header()
	if !hit && a.pieces > 1 {
		r.gather(r.overflow, n)
		err = r.begin(v, n)
	}
	if err != nil {
		a.size = 0
		r.put(Malformed)
		return
	}
	r.inPlace = 0
	if hit {
		r.inPlace = a.pieces
	}
	a.header, a.size = r.splitter.Header(), int(v.Size)
	r.split()
}

// begin makes the super-packet of n bytes in the overflow the splitter's.
func (r *reader) begin(v gso.Virtio, n int) error {
	pkt := r.overflow[:n]
	opts, err := v.Options(pkt)
	if err != nil {
		return err
	}
	return r.splitter.Reset(pkt, opts)
}

// split cuts segments into the buffers while there are both.
func (r *reader) split() {
	for r.call.n < len(r.call.bufs) && r.splitter.More() {
		all, size := r.space(0), r.splitter.Size()
		var err error
		if r.inPlace > 0 {
			r.inPlace--
			_, err = r.splitter.NextInPlace(all)
		} else {
			_, err = r.splitter.Next(all)
		}
		if err != nil {
			r.splitter.Skip() // too long for the buffer, as size shows the caller
		}
		r.put(size)
	}
}

// put records that the next buffer holds a packet of size bytes.
func (r *reader) put(size int) {
	r.call.sizes[r.call.n] = size
	r.call.n++
}
