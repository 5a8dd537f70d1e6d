package hostnet

import (
	"errors"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func (h *host) wayTo(src, dst netip.Addr) (w Way, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.journal == nil {
		return w, os.ErrClosed
	}
	var options netlink.RouteGetOptions
	if own, err := h.isOwn(src); err == nil && own && src.Is4() == dst.Is4() {
		options.SrcAddr = src.AsSlice()
	}
	routes, err := h.nl.RouteGetWithOptions(dst.AsSlice(), &options)
	switch {
	case err != nil:
		return w, err
	case len(routes) == 0:
		return w, unix.ENETUNREACH
	case routes[0].Type == unix.RTN_LOCAL:
		return Way{Local: true}, nil
	}
	link, err := h.nl.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return w, err
	}
	name := link.Attrs().Name
	return Way{Interface: name, Inside: name == h.name}, nil
}

// isOwn reports whether a is an address of an interface.
func (h *host) isOwn(a netip.Addr) (bool, error) {
	all, err := dump(func() ([]netlink.Addr, error) { return h.nl.AddrList(nil, familyOf(a.Is6())) })
	for _, has := range all {
		if ip, ok := netip.AddrFromSlice(has.IP); ok && ip.Unmap() == a {
			return true, nil
		}
	}
	return false, err
}

func pathMTU(c syscall.RawConn) (mtu int) {
	if c.Control(func(fd uintptr) {
		if mtu = getMTU(int(fd), unix.IPPROTO_IP, unix.IP_MTU); mtu == 0 {
			mtu = getMTU(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU)
		}
	}) != nil {
		return 0
	}
	return mtu
}

func getMTU(fd, level, option int) int {
	mtu, err := unix.GetsockoptInt(fd, level, option)
	if err != nil {
		return 0
	}
	return mtu
}

// dontFragment sets what a socket of its family knows.
func dontFragment(c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		if failed != nil {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
		}
	})
	return os.NewSyscallError("setsockopt IP_MTU_DISCOVER", errors.Join(err, failed))
}
