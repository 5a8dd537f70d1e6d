package tundev

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// foreignNetwork reports whether a user namespace outside of the thread's own one
// owns the thread's network namespace. The kernel does not name such an owner
// (ioctl_nsfs(2), NS_GET_USERNS).
func foreignNetwork() (foreign, known bool) {
	net, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(net)
	owner, err := unix.IoctlRetInt(net, unix.NS_GET_USERNS)
	if errors.Is(err, unix.EPERM) {
		return true, true
	}
	if err != nil {
		return false, false
	}
	unix.Close(owner)
	return false, true
}

// linkByName looks up an interface by rtnetlink (rtnetlink(7)), in the thread's
// network namespace. Since Linux 4.19 the kernel describes a TUN.
func linkByName(name string) (l linkFacts, known bool) {
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return linkFacts{}, true
	}
	if err != nil {
		return linkFacts{}, false
	}
	l = linkFacts{exists: true, hardware: link.Type() == "device"}
	if t, ok := link.(*netlink.Tuntap); ok {
		l.isTUN = true
		l.flags = uint64(t.Mode)
		if !t.NonPersist {
			l.flags |= tunFlagPersist
		}
		if t.Flags&netlink.TUNTAP_MULTI_QUEUE != 0 {
			l.flags |= tunFlagMultiQueue
		}
	}
	l.seen = fmt.Sprintf("rtnetlink has %s of type %s, tun_flags %#x", name, link.Type(), l.flags)
	return l, true
}
