package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

type handle struct {
	*state
}

type state struct {
	mu sync.RWMutex   // held for reading while fd is in use
	fd netns.NsHandle // netns.None() once closed
}

func create() (handle, error) {
	h := handle{&state{fd: netns.None()}}
	unshare := func() error { return os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNET)) }
	err := switched(unshare, func() (err error) {
		h.fd, err = netns.Get()
		return err
	})
	if err == nil {
		err = h.linkUp("lo")
	}
	if err != nil {
		h.close()
		return handle{}, err
	}
	return h, nil
}

// switched runs f on a thread that enter has put into another namespace, and
// puts the thread back. A thread that cannot be put back stays locked, so that
// the runtime ends it with its goroutine and nobody else gets it. An enter
// that fails leaves the thread where it was.
func switched(enter, f func() error) (err error) {
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer old.Close()
	if err := enter(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if backErr := netns.Set(old); backErr != nil {
			err = errors.Join(err, fmt.Errorf("return to own network namespace: %w", backErr))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

func (h handle) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.fd.IsOpen() {
		return nil
	}
	return h.fd.Close()
}

func (h handle) do(f func() error) error { return switched(h.enter, f) }

// enter switches the calling thread.
func (h handle) enter() error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if !h.fd.IsOpen() {
		return os.ErrClosed
	}
	if err := netns.Set(h.fd); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	return nil
}

// with runs f with a netlink connection of the namespace.
func (h handle) with(f func(nl *netlink.Handle) error) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if !h.fd.IsOpen() {
		return os.ErrClosed
	}
	nl, err := netlink.NewHandleAt(h.fd, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	defer nl.Close()
	return f(nl)
}

// withLink is with, for one interface.
func (h handle) withLink(op, name string, f func(nl *netlink.Handle, link netlink.Link) error) error {
	return h.with(func(nl *netlink.Handle) error {
		link, err := nl.LinkByName(name)
		if err == nil {
			err = f(nl, link)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", op, name, err)
		}
		return nil
	})
}

func (h handle) linkUp(name string) error {
	return h.withLink("link up", name, func(nl *netlink.Handle, link netlink.Link) error {
		return nl.LinkSetUp(link)
	})
}

func (h handle) linkDown(name string) error {
	return h.withLink("link down", name, func(nl *netlink.Handle, link netlink.Link) error {
		return nl.LinkSetDown(link)
	})
}

func (h handle) addAddr(name string, prefix netip.Prefix) error {
	return h.withLink("add address to", name, func(nl *netlink.Handle, link netlink.Link) error {
		addr := &netlink.Addr{IPNet: ipNet(prefix)}
		if prefix.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := nl.AddrAdd(link, addr); err != nil || addr.Flags == 0 || link.Attrs().RawFlags&unix.IFF_LOWER_UP == 0 {
			return err
		}
		return awaitLocal(nl, link, prefix.Addr())
	})
}

// awaitLocal waits until an IPv6 address is one of the namespace's own: the kernel adds
// the route that says so a little later (addrconf_dad_work), and drops what comes for the
// address before.
func awaitLocal(nl *netlink.Handle, link netlink.Link, addr netip.Addr) error {
	return awaitLocalRoute(nl, link, netip.PrefixFrom(addr, addr.BitLen()))
}

// awaitMulticast waits until an interface that is up, and whose cable is connected, takes
// part in IPv6, if it is to: the kernel sees the cable a little later (linkwatch_event).
func (h handle) awaitMulticast(name string) error {
	var off []byte
	if err := h.do(func() error {
		off, _ = os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6") // there is none without IPv6
		return nil
	}); err != nil || string(off) != "0\n" {
		return err
	}
	return h.withLink("await IPv6 of", name, func(nl *netlink.Handle, link netlink.Link) error {
		return awaitLocalRoute(nl, link, netip.MustParsePrefix("ff00::/8"))
	})
}

// awaitLocalRoute waits until the local table has a route.
func awaitLocalRoute(nl *netlink.Handle, link netlink.Link, to netip.Prefix) error {
	local := &netlink.Route{Table: unix.RT_TABLE_LOCAL, Dst: ipNet(to), LinkIndex: link.Attrs().Index}
	filter := netlink.RT_FILTER_TABLE | netlink.RT_FILTER_DST | netlink.RT_FILTER_OIF
	for range 5000 {
		routes, err := nl.RouteListFiltered(netlink.FAMILY_V6, local, filter)
		if err != nil || len(routes) > 0 {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("the route to %v was not added within five seconds", to)
}

func (h handle) addRoute(name string, prefix netip.Prefix) error {
	return h.withLink("add route to", name, func(nl *netlink.Handle, link netlink.Link) error {
		return nl.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index,
			Scope:     netlink.SCOPE_LINK,
			Dst:       ipNet(prefix.Masked()),
		})
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}
}

func (h handle) links() (names []string, err error) {
	err = h.with(func(nl *netlink.Handle) error {
		links, err := nl.LinkList()
		for _, l := range links {
			names = append(names, l.Attrs().Name)
		}
		return err
	})
	return names, err
}

func (h handle) connect(name string, peer *NS, peerName string) error {
	peer.mu.RLock()
	defer peer.mu.RUnlock()
	err := h.with(func(nl *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		return nl.LinkAdd(&netlink.Veth{
			LinkAttrs:     attrs,
			PeerName:      peerName,
			PeerNamespace: netlink.NsFd(peer.fd),
		})
	})
	if err != nil {
		return fmt.Errorf("connect %s to %s: %w", name, peerName, err)
	}
	if err := h.linkUp(name); err != nil {
		return err
	}
	if err := peer.linkUp(peerName); err != nil {
		return err
	}
	return errors.Join(h.awaitMulticast(name), peer.awaitMulticast(peerName))
}

func (h handle) moveLink(name string, to *NS) error {
	to.mu.RLock()
	defer to.mu.RUnlock()
	return h.withLink("move", name, func(nl *netlink.Handle, link netlink.Link) error {
		return nl.LinkSetNsFd(link, int(to.fd))
	})
}
