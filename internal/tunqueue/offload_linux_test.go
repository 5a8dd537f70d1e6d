//go:build !android

package tunqueue_test

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tstun/internal/tunqueue"
	"tstun/internal/tunqueue/queuetest"
	"tstun/logger"
)

// negotiate asks a kernel that knows only some offloads.
func negotiate(logf logger.Logf, known uint) (granted uint, err error) {
	return tunqueue.Negotiate(logf, "test0", -1, func(_ int, flags uint) error {
		if flags&^known != 0 || known == 0 {
			return unix.EINVAL
		}
		return nil
	})
}

func TestNegotiate(t *testing.T) {
	const all = tunqueue.OffloadChecksum | tunqueue.OffloadTCP | tunqueue.OffloadUDP
	for _, tt := range []struct {
		known, want uint
		lines       int
	}{
		{all, all, 0},
		{tunqueue.OffloadChecksum | tunqueue.OffloadTCP, tunqueue.OffloadChecksum | tunqueue.OffloadTCP, 1},
		{tunqueue.OffloadChecksum, tunqueue.OffloadChecksum, 2},
		{1 << 30, 0, 3},
		{0, 0, 4},
	} {
		var log queuetest.Log
		got, err := negotiate(log.Logf, tt.known)
		if got != tt.want || (err != nil) != (tt.known == 0) || len(log.Lines()) != tt.lines {
			t.Errorf("known %#x: %#x, %v, log\n%s", tt.known, got, err, &log)
		}
		for _, line := range log.Lines() {
			if !strings.HasPrefix(line, "tundev: test0: the kernel refuses, going on without") {
				t.Errorf("line %q", line)
			}
		}
	}
}
