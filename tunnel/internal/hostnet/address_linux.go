package hostnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// setAddresses adds the addresses that are missing and removes those that h
// gave the interface and that are stale. With one of IPv4 the kernel may remove
// others of its network, so that they are looked for again.
func (s *setting) setAddresses() error {
	if err := s.removeReshaped(); err != nil {
		return err
	}
	if err := s.addAddresses(); err != nil {
		return err
	}
	stale := slices.DeleteFunc(slices.Clone(s.state.Addrs), func(a netip.Prefix) bool { return slices.Contains(s.config.Addresses, a) })
	if len(stale) == 0 {
		return nil
	}
	if err := s.removeAddress(s.index, stale); err != nil {
		return err
	}
	return s.addAddresses()
}

// removeReshaped removes IPv6 addresses whose prefix length changes: the kernel
// has an address once.
func (s *setting) removeReshaped() error {
	var reshaped []netip.Prefix
	for _, old := range s.state.Addrs {
		for _, a := range s.config.Addresses {
			if old.Addr() == a.Addr() && old != a && a.Addr().Is6() {
				reshaped = append(reshaped, old)
			}
		}
	}
	return s.removeAddress(s.index, reshaped)
}

func (s *setting) addAddresses() error {
	have, err := s.addresses(s.index)
	if err != nil {
		return err
	}
	var missing []netip.Prefix
	for _, a := range s.config.Addresses {
		if !slices.Contains(have, a) && !slices.Contains(missing, a) {
			missing = append(missing, a)
		}
	}
	for _, a := range missing {
		if !slices.Contains(s.state.Addrs, a) {
			s.state.Addrs = append(s.state.Addrs, a)
		}
	}
	if err := s.save(); err != nil {
		return err
	}
	for _, a := range missing {
		if err := s.do(func() error { return s.nl.AddrAdd(linkOf(s.index), message(a)) }, "add address %s", a); err != nil {
			return err
		}
	}
	return nil
}

func (h *host) removeAddresses(index int) error {
	return h.removeAddress(index, slices.Clone(h.state.Addrs))
}

// removeAddress removes addresses from interface and state, last first.
func (h *host) removeAddress(index int, addrs []netip.Prefix) error {
	slices.Reverse(addrs)
	for _, a := range addrs {
		have, err := h.addresses(index)
		if err != nil {
			return err
		}
		if slices.Contains(have, a) {
			if err := h.do(func() error { return h.nl.AddrDel(linkOf(index), message(a)) }, "remove address %s", a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
				return err
			}
		}
		h.state.Addrs = slices.DeleteFunc(h.state.Addrs, func(b netip.Prefix) bool { return a == b })
	}
	return h.save()
}

// addresses returns the addresses that the interface has.
func (h *host) addresses(index int) ([]netip.Prefix, error) {
	list, err := dump(func() ([]netlink.Addr, error) { return h.nl.AddrList(linkOf(index), netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	var addrs []netip.Prefix
	for _, a := range list {
		addrs = append(addrs, prefixOf(a.IPNet))
	}
	return addrs, nil
}

// message is an address for netlink. The zero broadcast address stands for none,
// which nil does not: a tunnel's last address is like the others.
func message(a netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(a), Broadcast: net.IPv4zero}
}
