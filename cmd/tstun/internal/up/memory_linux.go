package up

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// withhold also makes the process undumpable, since no limit holds for a core
// that the kernel pipes into a program, such as systemd's (core(5)). Its files
// in /proc are root's then, but its own threads may still open them
// (PR_SET_DUMPABLE(2const), proc_pid_fd(5)).
func withhold() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	return noCores()
}
