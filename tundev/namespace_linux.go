package tundev

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// errForeign marks an interface in another network namespace, which this
// process may not enter.
var errForeign = errors.New("interface in another network namespace")

// socketsOf opens the sockets of a device in the network namespace of the
// interface that the TUN descriptor fd is attached to. Asking which one it is
// takes CAP_NET_ADMIN, and entering another one CAP_SYS_ADMIN
// (setns(2)), which makes the error errForeign. The socket for notifications is nil
// where the system has none.
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

// sockets opens them in the network namespace of the calling thread.
func sockets() (*control, *os.File, error) {
	ctl, err := openControl()
	if err != nil {
		return nil, nil, err
	}
	notifications, err := openNotifications()
	if err != nil {
		notifications = nil // the monitor does without
	}
	return ctl, notifications, nil
}

// inNetwork runs f on a thread that is in the network namespace ns. A thread
// that cannot be put back stays locked: it ends with its goroutine.
func inNetwork(ns int, f func() error) error {
	runtime.LockOSThread()
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("%w: own one: %w", errForeign, err)
	}
	defer unix.Close(own)
	if sameFile(ns, own) {
		defer runtime.UnlockOSThread()
		return f()
	}
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("%w: %w", errForeign, os.NewSyscallError("setns", err))
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
