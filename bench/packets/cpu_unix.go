//go:build unix

package packets

import (
	"syscall"
	"time"
)

// cpuTime returns the processor time that this process has used, in user and
// in kernel mode.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
