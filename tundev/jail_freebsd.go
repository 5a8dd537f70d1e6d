package tundev

import "golang.org/x/sys/unix"

// jailed reports whether this process is in a jail (jail(8)).
func jailed() bool {
	n, err := unix.SysctlUint32("security.jail.jailed")
	return err == nil && n == 1
}
