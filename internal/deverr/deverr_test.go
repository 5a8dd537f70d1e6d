package deverr_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tstun/internal/deverr"
)

var questions = map[string]func(error) bool{
	"Transient": deverr.Transient, "NoMemory": deverr.NoMemory, "LinkDown": deverr.LinkDown, "Closed": deverr.Closed,
	"MTUUnknown": deverr.MTUUnknown, "ClosedBefore": deverr.ClosedBefore, "NoDriver": deverr.NoDriver,
	"NoInterface": deverr.NoInterface, "Unsupported": deverr.Unsupported, "Busy": deverr.Busy, "Exists": deverr.Exists,
	"ProcessFileLimit": deverr.ProcessFileLimit, "SystemFileLimit": deverr.SystemFileLimit,
}

// Each error gets the answer yes from these questions and from no other, bare
// and wrapped.
func TestQuestions(t *testing.T) {
	for _, tt := range []struct {
		err error
		yes string
	}{
		{nil, ""},
		{errors.New("unheard of"), ""},
		{syscall.ENOMEM, "NoMemory Transient"},
		{syscall.ENOBUFS, "NoMemory Transient"},
		{syscall.EAGAIN, "Transient"},
		{syscall.EINTR, "Transient"},
		{syscall.EIO, "LinkDown"},
		{os.ErrClosed, "Closed ClosedBefore MTUUnknown"},
		{syscall.EPIPE, "ClosedBefore"},
		{syscall.ENODEV, "MTUUnknown NoDriver"},
		{fs.ErrPermission, "MTUUnknown"},
		{syscall.EPERM, "MTUUnknown"},
		{syscall.EACCES, "MTUUnknown"},
		{syscall.ENOENT, "NoDriver"},
		{fs.ErrNotExist, "NoDriver"},
		{syscall.ENXIO, "NoDriver NoInterface"},
		{syscall.EINVAL, "NoInterface Unsupported"},
		{syscall.EBUSY, "Busy"},
		{syscall.EEXIST, "Exists"},
		{syscall.EMFILE, "ProcessFileLimit"},
		{syscall.ENFILE, "SystemFileLimit"},
	} {
		for _, err := range []error{tt.err, wrapped(tt.err)} {
			var yes []string
			for name, question := range questions {
				if question(err) {
					yes = append(yes, name)
				}
			}
			slices.Sort(yes)
			if got := strings.Join(yes, " "); got != tt.yes {
				t.Errorf("%v: %q, want %q", err, got, tt.yes)
			}
		}
	}
}

// wrapped is err as a device returns it, or nil if err is.
func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write: %w", errors.Join(errors.New("first"), err))
}

func ExampleLinkDown() {
	err := fmt.Errorf("write: %w", os.NewSyscallError("writev", syscall.EIO))
	fmt.Println(deverr.LinkDown(err), deverr.Transient(err), deverr.Closed(err))
	// Output: true false false
}
