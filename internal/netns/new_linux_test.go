package netns_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tstun/internal/netns"
)

// watch is a test that New skips.
type watch struct {
	skipped, failed string
	cleanups        int
}

func (w *watch) Helper()        {}
func (w *watch) Cleanup(func()) { w.cleanups++ }

func (w *watch) Skipf(format string, args ...any) {
	w.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (w *watch) Fatalf(format string, args ...any) {
	w.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestNewSkipsWithoutRights(t *testing.T) {
	w, done := &watch{}, make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread goes with its capabilities
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData // 64 bits in two halves
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error(err)
			return
		}
		netns.New(w)
	}()
	<-done
	if !strings.Contains(w.skipped, "needs root on Linux: create network namespace: unshare: operation not permitted") ||
		w.failed != "" || w.cleanups != 0 {
		t.Errorf("%+v", w)
	}
}
