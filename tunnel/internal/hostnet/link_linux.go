package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
)

// index returns the number of the interface, or 0 if there is none.
func (h *host) index() (int, error) {
	link, err := h.nl.LinkByName(h.name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for the interface: %w", err)
	}
	return link.Attrs().Index, nil
}

// link returns the interface, and notes what it was like before the first Set.
func (h *host) link() (netlink.Link, error) {
	link, err := h.nl.LinkByName(h.name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, errors.New("there is no such interface: create the device first")
	}
	if err != nil {
		return nil, fmt.Errorf("look for the interface: %w", err)
	}
	if a := link.Attrs(); h.state.Index != a.Index {
		h.state.Index, h.state.Addrs = a.Index, nil
		h.state.Link = &linkState{MTU: a.MTU, Up: a.Flags&net.FlagUp != 0}
	}
	return link, h.save()
}

func (s *setting) setUp() error {
	link, err := s.nl.LinkByIndex(s.index)
	if err != nil || link.Attrs().Flags&net.FlagUp != 0 {
		return err
	}
	return s.do(func() error { return s.nl.LinkSetUp(link) }, "bring it up")
}

// restoreLink removes the addresses, and makes MTU and link what they were. A
// new interface of the same name is none of ours.
func (h *host) restoreLink(index int) error {
	var err error
	if index != 0 && index == h.state.Index {
		err = errors.Join(h.removeAddresses(index), h.restoreMTU(index))
	}
	if err == nil {
		h.state.Index, h.state.Addrs, h.state.Link = 0, nil, nil
		err = h.save()
	}
	return err
}

func (h *host) restoreMTU(index int) error {
	link, err := h.nl.LinkByIndex(index)
	if err != nil {
		return err
	}
	old, a := h.state.Link, link.Attrs()
	if old == nil {
		return nil
	}
	if !old.Up && a.Flags&net.FlagUp != 0 {
		err = h.do(func() error { return h.nl.LinkSetDown(link) }, "take it down")
	}
	if old.MTU != a.MTU {
		err = errors.Join(err, h.do(func() error { return h.nl.LinkSetMTU(link, old.MTU) }, "set MTU back to %d", old.MTU))
	}
	return err
}

// judgeIPv6 leaves IPv6 out if the interface has none.
func (s *setting) judgeIPv6() error {
	if s.config.has6() {
		if why := s.noIPv6(); why.Text != "" {
			s.warnings = append(s.warnings, why)
			s.config = s.config.without6()
		}
	}
	s.layout = s.config.layout()
	return nil
}

// noIPv6 says why the interface has no IPv6. The text is empty if it has.
func (s *setting) noIPv6() Warning {
	link, err := s.nl.LinkByIndex(s.index)
	if err == nil && link.Attrs().MTU < minMTU6 {
		return Warning{WarnMTU, fmt.Sprintf("MTU %d is below the %d bytes of IPv6, whose addresses and routes are left out. Set MTU to %d, or take IPv6 out.",
			link.Attrs().MTU, minMTU6, minMTU6)}
	}
	path := "/proc/sys/net/ipv6/conf/" + s.name + "/disable_ipv6"
	switch text, err := os.ReadFile(path); {
	case errors.Is(err, fs.ErrNotExist):
		return Warning{WarnIPv6Off, "This host has no IPv6; addresses and routes of IPv6 are left out. Start the kernel without ipv6.disable=1, or take IPv6 out."}
	case err == nil && strings.TrimSpace(string(text)) != "0":
		return Warning{WarnIPv6Off, fmt.Sprintf("IPv6 is off on %s; addresses and routes of IPv6 are left out. Set net.ipv6.conf.%s.disable_ipv6 to 0, or take IPv6 out.", s.name, s.name)}
	}
	return Warning{}
}

// linkOf is enough of an interface for netlink.
func linkOf(index int) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixOf(n *net.IPNet) netip.Prefix {
	a, _ := netip.AddrFromSlice(n.IP)
	bits, of := n.Mask.Size()
	if of == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, bits)
}
