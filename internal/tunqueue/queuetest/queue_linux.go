package queuetest

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"tstun/internal/tunqueue"
	"tstun/logger"
)

// Offloads are all that a kernel may grant.
const Offloads = tunqueue.OffloadChecksum | tunqueue.OffloadTCP | tunqueue.OffloadUDP

// Sockets returns a pair that keeps packets apart, as a TUN and the system
// behind it do.
func Sockets(t testing.TB) (near, far *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far = os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// Granted returns a queue on a socket, with virtio headers and these offloads.
func Granted(t testing.TB, f *os.File, offloads uint, logf logger.Logf) *tunqueue.Queue {
	t.Helper()
	return newQueue(t, f, tunqueue.Attachment{Name: "test0", Virtio: true, Offloads: offloads}, logf)
}

// On returns a queue on a socket, with virtio headers and all offloads or with
// neither.
func On(t testing.TB, f *os.File, virtio bool, logf logger.Logf) *tunqueue.Queue {
	t.Helper()
	if virtio {
		return Granted(t, f, Offloads, logf)
	}
	return newQueue(t, f, tunqueue.Attachment{Name: "test0"}, logf)
}

func newQueue(t testing.TB, f *os.File, a tunqueue.Attachment, logf logger.Logf) *tunqueue.Queue {
	t.Helper()
	log := new(tunqueue.DeferredLog)
	log.SendTo(logf)
	q, err := tunqueue.New(f, a, log)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// New returns a queue and the system behind it, whose buffers are large.
func New(t testing.TB, virtio bool, logf logger.Logf) (*tunqueue.Queue, *os.File) {
	t.Helper()
	near, far := Sockets(t)
	for _, f := range []*os.File{near, far} {
		enlarge(t, f)
	}
	return On(t, near, virtio, logf), far
}

func enlarge(t testing.TB, f *os.File) {
	t.Helper()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	conn.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20) })
}

// Pair returns two queues, each the other's system. The log is the first one's.
func Pair(t testing.TB, virtio bool, logf logger.Logf) (near, far *tunqueue.Queue) {
	t.Helper()
	near, file := New(t, virtio, logf)
	return near, On(t, file, virtio, t.Logf)
}

// Send makes the system behind a queue send a packet.
func Send(t testing.TB, f *os.File, p []byte) {
	t.Helper()
	if _, err := f.Write(p); err != nil {
		t.Fatal(err)
	}
}

// Received returns the packets that q has got.
func Received(t testing.TB, q *tunqueue.Queue) (pkts [][]byte) {
	t.Helper()
	for {
		bufs, sizes := Buffers(128, 70_000)
		n, err := q.ReadReady(bufs, sizes, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			pkts = append(pkts, bufs[i][:sizes[i]])
		}
		if n == 0 {
			return pkts
		}
	}
}

// CheckFlows fails the test unless got has the packets of want, those of each
// flow in their order.
func CheckFlows(t testing.TB, got, want [][]byte) {
	t.Helper()
	flow := func(p []byte) string { return string(p[20:24]) }
	sort := func(pkts [][]byte) [][]byte {
		pkts = slices.Clone(pkts)
		slices.SortStableFunc(pkts, func(a, b []byte) int { return strings.Compare(flow(a), flow(b)) })
		return pkts
	}
	if !slices.EqualFunc(sort(got), sort(want), bytes.Equal) {
		t.Errorf("%d packets came out, %d went in, or they differ", len(got), len(want))
	}
}

// RefuseWrites asks refuse for an error of each system call that writes, by
// the bytes that it would write; 0 lets it happen.
func RefuseWrites(q *tunqueue.Queue, refuse func(packet []byte) syscall.Errno) {
	q.Intercept(nil, func(write tunqueue.Call) tunqueue.Call {
		return func(fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
			var b []byte
			for _, v := range iov {
				b = append(b, unsafe.Slice(v.Base, v.Len)...)
			}
			if errno := refuse(b); errno != 0 {
				return 0, errno
			}
			return write(fd, iov)
		}
	})
}

// FailReads makes each system call that reads fail with what fail says; 0
// lets it happen.
func FailReads(q *tunqueue.Queue, fail func() syscall.Errno) {
	q.Intercept(func(read tunqueue.Call) tunqueue.Call {
		return func(fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
			if errno := fail(); errno != 0 {
				return 0, errno
			}
			return read(fd, iov)
		}
	}, nil)
}
