//go:build !android

package tundev_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tstun/internal/gso"
	"tstun/internal/tunqueue"
	"tstun/internal/tunqueue/queuetest"
	"tstun/tundev"
)

// refuseJoined makes q's system take no joined packets.
func refuseJoined(q *tunqueue.Queue) {
	queuetest.RefuseWrites(q, func(p []byte) syscall.Errno {
		var v gso.Virtio
		if v.Decode(p); v.Super() {
			return unix.EINVAL
		}
		return 0
	})
}

// docs/lessons.md row 7: a kernel that refuses joined packets gets them one by one.
// The log of AsDirect says so once, also if that comes after the refusal.
func TestLesson07RefusedJoining(t *testing.T) {
	near, file := queuetest.Sockets(t)
	a := tunqueue.Attachment{Name: "test0", Virtio: true, Offloads: queuetest.Offloads}
	q, err := tunqueue.New(near, a, new(tunqueue.DeferredLog))
	if err != nil {
		t.Fatal(err)
	}
	refuseJoined(q)
	dev, far := tundev.NewDirect(q), queuetest.On(t, file, true, t.Logf)
	defer dev.Close()
	pkts := [][]byte{tcp(1, 0), tcp(1, 1), tcp(2, 0), tcp(2, 1)}
	var log queuetest.Log
	for range 3 {
		if n, err := dev.Write(batchOf(pkts...), room); n != len(pkts) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		checkFlows(t, received(t, far), pkts)
		if again, ok := tundev.AsDirect(log.Logf, dev); !ok || again != dev {
			t.Error("not the same device")
		}
	}
	if len(log.Lines()) != 1 || !strings.HasPrefix(log.String(), "tundev: test0: the kernel refuses joined packets") {
		t.Errorf("log %q", &log)
	}
}

// The error of a Direct is this package's, with the indices of the caller's
// packets, empty ones counted.
func TestWriteErrorHasIndices(t *testing.T) {
	q, _ := queuetest.New(t, true, t.Logf)
	writes := 0
	queuetest.RefuseWrites(q, func([]byte) syscall.Errno {
		if writes++; writes == 2 {
			return unix.ENOBUFS
		}
		return 0
	})
	dev := tundev.NewDirect(q)
	bufs := batchOf(udp(1, 10), nil, udp(2, 30), udp(3, 50))
	n, err := dev.Write(bufs, room)
	var lost *tundev.WriteError
	if !errors.As(err, &lost) || n != 3 || !slices.Equal(lost.Lost, []int{2}) || !errors.Is(err, unix.ENOBUFS) {
		t.Errorf("%d, %v", n, err)
	}
	if want := "write: 1 packets lost: writev: no buffer space available"; err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	// An error that comes of closing is no loss of packets.
	if err := errors.Join(dev.Close(), q.File().Close()); err != nil {
		t.Fatal(err)
	}
	if n, err := dev.Write(bufs, room); n != 0 || !errors.Is(err, os.ErrClosed) || errors.As(err, &lost) {
		t.Errorf("after Close: %d, %v", n, err)
	}
}
