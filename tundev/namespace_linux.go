package tundev

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// errOtherNamespace marks an interface in another network namespace, which this
// process may not enter.
var errOtherNamespace = errors.New("interface in another network namespace")

// socketsOf opens the sockets of a device in the network namespace of the
// interface that the TUN descriptor fd is attached to. The kernel names that
// namespace to a program with CAP_NET_ADMIN, and lets one with CAP_SYS_ADMIN
// enter it (setns(2)); without the latter the error is errOtherNamespace.
// notifications is nil where the system has no such socket.
func socketsOf(fd int) (ctl *control, notifications *os.File, err error) {
	ns, err := unix.IoctlRetInt(fd, unix.TUNGETDEVNETNS)
	if err != nil {
		return nil, nil, os.NewSyscallError("TUNGETDEVNETNS", err)
	}
	defer unix.Close(ns)
	err = inNetwork(ns, func() error {
		ctl, notifications, err = sockets()
		return err
	})
	return ctl, notifications, err
}

// sockets opens the sockets of a device in the network namespace of the calling
// thread.
func sockets() (*control, *os.File, error) {
	ctl, err := openControl()
	if err != nil {
		return nil, nil, err
	}
	notifications, err := openNotifications()
	if err != nil {
		notifications = nil // the monitor polls
	}
	return ctl, notifications, nil
}

// inNetwork runs f on a thread that is in the network namespace ns. A thread
// that cannot return to its own stays locked, and ends with its goroutine.
func inNetwork(ns int, f func() error) error {
	runtime.LockOSThread()
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("%w: own one: %w", errOtherNamespace, err)
	}
	defer unix.Close(own)
	if sameFile(ns, own) {
		defer runtime.UnlockOSThread()
		return f()
	}
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("%w: %w", errOtherNamespace, os.NewSyscallError("setns", err))
	}
	defer func() {
		if unix.Setns(own, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

func sameFile(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}
