//go:build unix

package up

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// noCores sets the largest size of a core to 0, for good.
func noCores() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("RLIMIT_CORE: %w", err)
	}
	return nil
}
