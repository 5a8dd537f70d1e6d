package tstun_test

import (
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
)

// failing is a device that is read directly and has nothing but errors, for a
// number of reads.
type failing struct {
	rig.EndlessDirect
	left  atomic.Int32
	reads atomic.Int32
	err   error
}

func newFailing(t *testing.T, times int32, err error) *failing {
	d := &failing{EndlessDirect: rig.EndlessDirect{Endless: rig.NewEndless(t, 1, rig.Loads(1, 1)["udp"])}, err: err}
	d.left.Store(times)
	return d
}

func (d *failing) ReadReady(bufs [][]byte, sizes []int, offset int, wait bool) (int, error) {
	d.reads.Add(1)
	if d.left.Add(-1) >= 0 {
		return 0, d.err
	}
	return d.EndlessDirect.ReadReady(bufs, sizes, offset, wait)
}

// TestLesson15DirectDeviceThatFails: what passes by itself is waited for,
// patiently, with one line in the log; what does not is the reader's.
func TestLesson15DirectDeviceThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		logf := func(format string, _ ...any) { lines = append(lines, format) }
		dev := newFailing(t, 30, os.NewSyscallError("readv", syscall.ENOBUFS))
		w := tstun.Wrap(logf, dev)
		w.SetFilter(filter.NewAllowAll(nil))
		began := time.Now()
		n, err := w.Read(rig.Buffers(1), make([]int, 1), offset)
		if n != 1 || err != nil || len(lines) != 1 || !strings.Contains(lines[0], "going on") {
			t.Errorf("Read = %d, %v, logged %q; want a packet and one line", n, err, lines)
		}
		if waited := time.Since(began); waited < time.Second || waited > 3*time.Second {
			t.Errorf("waited %v for 30 failures", waited)
		}
		w.Close()
		wantErrClosed(t, w)
	})
	dev := newFailing(t, 1, syscall.EINVAL)
	w := tstun.Wrap(nil, dev)
	defer w.Close()
	if _, err := w.Read(rig.Buffers(1), make([]int, 1), offset); err != syscall.EINVAL {
		t.Errorf("Read: %v, want the device's error", err)
	}
}

// TestCloseEndsAPatientRead: a device that fails for ever does not hold up
// Close.
func TestCloseEndsAPatientRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := newFailing(t, 1<<30, syscall.ENOMEM)
		w := tstun.Wrap(nil, dev)
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Read(rig.Buffers(1), make([]int, 1), offset)
		}()
		time.Sleep(10 * time.Second)
		if n := dev.reads.Load(); n > 200 {
			t.Errorf("asked %d times in 10 s", n)
		}
		w.Close()
		<-done
	})
}

func wantErrClosed(t *testing.T, w *tstun.Wrapper) {
	t.Helper()
	if _, err := w.Read(rig.Buffers(1), make([]int, 1), offset); err != tstun.ErrClosed {
		t.Errorf("Read after Close: %v", err)
	}
}
