//go:build !android

package tunqueue_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tstun/internal/gso"
	"tstun/internal/tunqueue"
	"tstun/internal/tunqueue/queuetest"
)

// Interleaved flows and packets of other kinds: each comes out once, each flow
// in its order, and flows are joined.
func TestWriteJoins(t *testing.T) {
	for _, virtio := range []bool{false, true} {
		near, far := newPair(t, virtio, t.Logf)
		writes := 0
		queuetest.RefuseWrites(near, func([]byte) syscall.Errno { writes++; return 0 })
		var pkts [][]byte
		for i := range 40 {
			pkts = append(pkts, tcp(1, i), tcp(2, i))
		}
		pkts = append(pkts, udp(9, 10))
		bufs := batchOf(pkts...)
		bufs = append(bufs, nil, make([]byte, room)) // empty
		before := batchOf(pkts...)
		if n, err := near.Write(bufs, room); n != len(bufs) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		for i, b := range before {
			if !bytes.Equal(bufs[i], b) {
				t.Fatalf("packet %d was changed", i)
			}
		}
		if want := map[bool]int{true: 3, false: 81}[virtio]; writes != want {
			t.Errorf("virtio %v: %d writes, want %d", virtio, writes, want)
		}
		checkFlows(t, received(t, far), pkts)
	}
}

// A kernel that refuses joined packets gets them one by one,
// once, from then on, and the log says so once.
func TestRefusedJoining(t *testing.T) {
	var log queuetest.Log
	near, far := newPair(t, true, log.Logf)
	joined := 0
	queuetest.RefuseWrites(near, func(p []byte) syscall.Errno {
		var v gso.Virtio
		if v.Decode(p); v.Super() {
			joined++
			return unix.EINVAL
		}
		return 0
	})
	var pkts [][]byte
	for i := range 10 {
		pkts = append(pkts, tcp(1, i), tcp(2, i))
	}
	for range 3 {
		if n, err := near.Write(batchOf(pkts...), room); n != len(pkts) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		checkFlows(t, received(t, far), pkts)
	}
	// The second flow of the first batch was refused too, or not tried.
	if joined < 1 || joined > 2 {
		t.Errorf("%d joined packets were tried", joined)
	}
	if len(log.Lines()) != 1 || !strings.Contains(log.String(), "tundev: test0: the kernel refuses joined packets") {
		t.Errorf("log %q", &log)
	}
}

// Only what the kernel was granted to cut is joined: an older one refuses joined
// UDP, which must not end the joining of TCP.
func TestJoiningWhatIsGranted(t *testing.T) {
	for granted, want := range map[uint]int{
		0: 4, tunqueue.OffloadChecksum: 4,
		tunqueue.OffloadChecksum | tunqueue.OffloadTCP:                       3,
		tunqueue.OffloadChecksum | tunqueue.OffloadTCP | tunqueue.OffloadUDP: 2,
	} {
		_, file := newQueue(t, true, t.Logf)
		q := queuetest.Granted(t, file, granted, t.Logf)
		writes := 0
		queuetest.RefuseWrites(q, func([]byte) syscall.Errno { writes++; return 0 })
		if n, err := q.Write(batchOf(tcp(1, 0), tcp(1, 1), udp(1, 10), udp(2, 10)), room); n != 4 || err != nil || writes != want {
			t.Errorf("offloads %#x: %d, %v in %d writes, want %d", granted, n, err, writes, want)
		}
	}
}

// A system call that a signal interrupts is made again.
func TestWriteInterrupted(t *testing.T) {
	near, far := newPair(t, true, t.Logf)
	writes := 0
	queuetest.RefuseWrites(near, func([]byte) syscall.Errno {
		if writes++; writes%2 == 1 {
			return unix.EINTR
		}
		return 0
	})
	pkts := [][]byte{tcp(1, 0), tcp(1, 1), udp(1, 10)}
	if n, err := near.Write(batchOf(pkts...), room); n != 3 || err != nil || writes != 4 {
		t.Errorf("%d, %v in %d writes", n, err, writes)
	}
	checkFlows(t, received(t, far), pkts)
}

// A failure that is not about joining leaves it on.
func TestJoiningStaysOn(t *testing.T) {
	var log queuetest.Log
	near, far := newPair(t, true, log.Logf)
	writes := 0
	queuetest.RefuseWrites(near, func(p []byte) syscall.Errno {
		if writes++; writes == 1 {
			return unix.ENOMEM
		}
		return 0
	})
	pkts := [][]byte{tcp(1, 0), tcp(1, 1), tcp(1, 2)}
	for range 2 {
		if n, err := near.Write(batchOf(pkts...), room); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		checkFlows(t, received(t, far), pkts)
	}
	if writes != 5 || len(log.Lines()) != 0 {
		t.Errorf("%d writes, log %q", writes, &log)
	}
}

// However many small packets there are, none of the system's limits is taken for
// a refusal of joining.
func TestJoiningManySmallPackets(t *testing.T) {
	var log queuetest.Log
	near, far := newPair(t, true, log.Logf)
	var pkts [][]byte
	for i := range 1500 {
		pkts = append(pkts, queuetest.TCP(1, i, 1))
	}
	if n, err := near.Write(batchOf(pkts...), room); n != len(pkts) || err != nil || log.String() != "" {
		t.Errorf("%d, %v, log %q", n, err, &log)
	}
	checkFlows(t, received(t, far), pkts)
}

// Each set of packets that the system refuses is told by index; the others
// arrive.
func TestPartialFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		refuse []int // packets that are refused singly
		errno  syscall.Errno
		joined syscall.Errno // for joined packets
		lost   []int
	}{
		{"one", []int{3}, unix.ENOBUFS, 0, []int{3}},
		{"some", []int{0, 3, 5}, unix.EINVAL, 0, []int{0, 3, 5}},
		{"a member", []int{2}, unix.ENOBUFS, unix.ENOBUFS, []int{2}},
		{"all", []int{0, 1, 2, 3, 4, 5, 6, 7}, unix.EPERM, unix.EPERM, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"link down", nil, 0, unix.EIO, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"link down between", []int{3}, unix.EIO, 0, []int{3, 4, 5, 6, 7}},
		{"link down in a group", []int{2}, unix.EIO, unix.EPERM, []int{2, 3, 4, 5, 6, 7}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			near, far := newPair(t, true, t.Logf)
			// 0: alone, 1, 2, 4: joined, 3: alone, 5: alone, 6, 7: joined
			pkts := [][]byte{udp(0, 90), tcp(1, 0), tcp(1, 1), udp(3, 10), tcp(1, 2), udp(5, 50), tcp(2, 0), tcp(2, 1)}
			queuetest.RefuseWrites(near, func(b []byte) syscall.Errno {
				var v gso.Virtio
				if v.Decode(b); v.Super() {
					return tt.joined
				}
				i := slices.IndexFunc(pkts, func(p []byte) bool { return bytes.Equal(p, b[gso.VirtioLen:]) })
				if slices.Contains(tt.refuse, i) {
					return tt.errno
				}
				return 0
			})
			n, err := near.Write(batchOf(pkts...), room)
			var lost *tunqueue.LostError
			if !errors.As(err, &lost) {
				t.Fatalf("error %v", err)
			}
			want := tt.lost
			if tt.name == "link down between" {
				want = []int{3, 5, 6, 7} // 4 went with 1 and 2
			}
			if tt.name == "link down" {
				want = []int{1, 2, 3, 4, 5, 6, 7} // 0 went before
			}
			if !slices.Equal(lost.Lost, want) || n != len(pkts)-len(want) {
				t.Errorf("lost %v, n %d; want %v", lost.Lost, n, want)
			}
			var errno syscall.Errno
			if !errors.As(err, &errno) || errno != max(tt.errno, tt.joined) || !strings.Contains(err.Error(), fmt.Sprintf("write: %d packets lost: writev: ", len(want))) {
				t.Errorf("error %q", err)
			}
			var rest [][]byte
			for i, p := range pkts {
				if !slices.Contains(want, i) {
					rest = append(rest, p)
				}
			}
			checkFlows(t, received(t, far), rest)
		})
	}
}

func TestWriteToDeleted(t *testing.T) {
	near, _ := newPair(t, true, t.Logf)
	writes := 0
	queuetest.RefuseWrites(near, func([]byte) syscall.Errno {
		if writes++; writes == 3 {
			return unix.EBADFD
		}
		return 0
	})
	n, err := near.Write(batchOf(tcp(1, 0), tcp(1, 1), udp(1, 10), udp(2, 30), udp(3, 20)), room)
	if n != 3 || !errors.Is(err, os.ErrClosed) || writes != 3 {
		t.Errorf("%d, %v after %d writes", n, err, writes)
	}
}

// A device that is full makes Write wait, not fail, and several writers get
// through.
func TestWriteWaits(t *testing.T) {
	near, file := newQueue(t, true, t.Logf)
	const writers, batches = 3, 40
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for b := range batches {
				var pkts [][]byte
				for i := range 100 {
					p := tcp(uint16(w), i)
					if i%3 == 0 {
						p = udp(uint32(b), 1000)
					}
					pkts = append(pkts, p)
				}
				if n, err := near.Write(batchOf(pkts...), room); n != len(pkts) || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			}
		})
	}
	far := queuetest.On(t, file, true, t.Logf)
	got := 0
	bufs, sizes := buffers(128, 2000)
	for got < writers*batches*100 {
		n, err := far.ReadReady(bufs, sizes, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	soon(t, "Write", all.Wait)
}

// Close ends a Write that waits.
func TestCloseWhileWriteWaits(t *testing.T) {
	near, far := queuetest.Sockets(t)
	q := queuetest.On(t, near, true, t.Logf)
	ended := make(chan error)
	go func() {
		for {
			if _, err := q.Write(batchOf(udp(1, 1000)), room); err != nil {
				ended <- err
				return
			}
		}
	}()
	// Full when the far side, which nobody reads, has something and the
	// writer has come to wait; closing earlier is as good a test.
	one := make([]byte, 2000)
	far.SetReadDeadline(time.Now().Add(patience))
	if _, err := far.Read(one); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	near.Close()
	soon(t, "Write", func() {
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
	})
}
