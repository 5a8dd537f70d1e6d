package deverr_test

import (
	"syscall"
	"testing"

	"tstun/internal/deverr"
)

func TestResultOf(t *testing.T) {
	for errno, want := range map[syscall.Errno]deverr.Result{
		0:               deverr.OK,
		syscall.EINTR:   deverr.Interrupted,
		syscall.EAGAIN:  deverr.NotReady,
		syscall.EIO:     deverr.Down,
		syscall.EBADFD:  deverr.Deleted,
		syscall.EINVAL:  deverr.Refused,
		syscall.ENOBUFS: deverr.Failed,
		syscall.EPERM:   deverr.Failed,
	} {
		if got := deverr.ResultOf(errno); got != want {
			t.Errorf("%v: %d, want %d", errno, got, want)
		}
	}
}
