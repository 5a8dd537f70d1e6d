package tunqueue

import (
	"fmt"
	"os"
	"syscall"

	"tstun/internal/gso"
	"tstun/logger"
)

// BatchSize is how many packets a read or write takes: IdealBatchSize of
// wireguard-go's package conn, which sizes its batches by the larger of that
// of its socket and of its device.
const BatchSize = 128

// Queue moves packets through a TUN descriptor that is attached, non-blocking
// and registered with the runtime's poller. Its methods are safe from any
// goroutine. One Read, ReadReady or Discard runs at a time, and others wait;
// calls of Write run in parallel. The zero value is not valid; New makes a
// Queue.
type Queue struct {
	file   *os.File // borrowed from New's caller
	conn   syscall.RawConn
	log    *DeferredLog
	reader reader
	writer writer
}

// New returns a Queue on file, which the caller closes after use. Closing it
// ends the calls that wait.
func New(file *os.File, a Attachment, log *DeferredLog) (*Queue, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	q := &Queue{file: file, conn: conn, log: log}
	q.reader.init(file, conn, a.Virtio && !a.Frames)
	q.writer.init(conn, a, log)
	return q, nil
}

// Intercept replaces the system calls readv and writev by what read and write
// return for them; nil leaves one as it is. Tests count system calls this way,
// and make them fail. It must be called before the first read and write.
func (q *Queue) Intercept(read, write func(Call) Call) {
	if read != nil {
		q.reader.readv = read(q.reader.readv)
	}
	if write != nil {
		q.writer.writev = write(q.writer.writev)
	}
}

// File returns the file that New was given.
func (q *Queue) File() *os.File { return q.file }

// WithDescriptor calls f with the descriptor, which stays open until f returns. The
// error is that of a file that is closed.
func (q *Queue) WithDescriptor(f func(fd int)) error {
	return q.conn.Control(func(fd uintptr) { f(int(fd)) })
}

// LogTo sends the lines that were kept, and all later ones, to dest.
func (q *Queue) LogTo(dest logger.Logf) { q.log.SendTo(dest) }

// Joins returns the protocols whose packets Write may join.
func (q *Queue) Joins() gso.Kinds { return q.writer.kinds }

// Interrupt makes the ReadReady that waits return at once, or if none waits
// the next one that would. It does not block.
func (q *Queue) Interrupt() { q.reader.waker.interrupt() }

// Discard drops the segments of a super-packet that no call has returned yet,
// and returns how many there were.
func (q *Queue) Discard() int { return q.reader.discard() }

// ReadReady fills bufs from offset on with the packets that are ready and sets
// sizes. If there is none and wait is set, it waits until a packet comes,
// Interrupt is called, or the file is closed. It returns 0 packets and no error
// if nothing was ready or it was interrupted.
//
// A size is that of the packet, also of one that is cut because its buffer is
// shorter, or Malformed. ReadReady keeps nothing of bufs and does not allocate.
// When the file is closed or the interface deleted, the error is an
// os.ErrClosed.
func (q *Queue) ReadReady(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	return q.reader.read(bufs, sizes, offset, wait)
}

// Read waits for packets as tun.Device's Read does. The size of a packet that
// is malformed, or longer than its buffer, is 0.
func (q *Queue) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		n, err := q.reader.read(bufs, sizes, offset, true)
		if n == 0 && err == nil && min(len(bufs), len(sizes)) > 0 {
			continue
		}
		for i, size := range sizes[:n] {
			if size < 0 || size > len(bufs[i])-offset { // callers slice by it
				sizes[i] = 0
			}
		}
		return n, err
	}
}

// Write writes the packets that are in bufs from offset on. It joins packets of
// one flow where the kernel takes that, and neither changes nor keeps any. It
// returns len(bufs), or the number of packets that were written and either a
// [*LostError] or, when the file is closed or the interface deleted, an
// os.ErrClosed. Empty packets count as written.
func (q *Queue) Write(bufs [][]byte, offset int) (int, error) { return q.writer.write(bufs, offset) }

// errDeleted is the error of a descriptor that has lost its interface, or is
// closed.
var errDeleted = fmt.Errorf("interface deleted: %w", os.ErrClosed)
