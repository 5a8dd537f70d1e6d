package netstack

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// SetAddrs gives the stack these addresses, at least one, in the place of those
// it has. What uses an address that stays goes on; what uses one that goes
// hears nothing more from its peer. An error that refuses addrs changes nothing.
func (s *Stack) SetAddrs(addrs []netip.Addr) error {
	s.settingsMu.Lock()
	defer s.settingsMu.Unlock()
	err := checkAddrs(addrs, int(s.link.MTU()))
	if err == nil {
		err = s.setAddrsLocked(addrs)
	}
	if err != nil {
		return fmt.Errorf("netstack: %w", err)
	}
	return nil
}

// SetMTU sets the MTU in bytes. TCP connections that are open keep the segment
// size that they began with, and send shorter packets where the new MTU asks
// for it.
func (s *Stack) SetMTU(mtu int) error {
	s.settingsMu.Lock()
	defer s.settingsMu.Unlock()
	if err := checkAddrs(*s.addrs.Load(), mtu); err != nil {
		return fmt.Errorf("netstack: %w", err)
	}
	s.link.SetMTU(uint32(mtu))
	if s.forward != nil {
		s.forward.link.SetMTU(uint32(mtu))
	}
	return nil
}

// setAddrsLocked adds what is new before it removes what is stale.
func (s *Stack) setAddrsLocked(addrs []netip.Addr) error {
	old := *s.addrs.Load()
	for _, a := range addrs {
		if slices.Contains(old, a) {
			continue
		}
		pa := tcpip.ProtocolAddress{
			Protocol:          protocolOf(a),
			AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix(),
		}
		if err := s.ip.AddProtocolAddress(nicID, pa, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("address %v: %s", a, err)
		}
	}
	s.link.setOwn(addrs)
	for _, a := range old {
		if slices.Contains(addrs, a) {
			continue
		}
		if err := s.ip.RemoveAddress(nicID, tcpip.AddrFromSlice(a.AsSlice())); err != nil {
			return fmt.Errorf("remove address %v: %s", a, err)
		}
	}
	kept := slices.Clone(addrs)
	s.addrs.Store(&kept)
	return nil
}

// checkAddrs refuses what cannot be a stack's addresses under an MTU.
func checkAddrs(addrs []netip.Addr, mtu int) error {
	if len(addrs) == 0 {
		return errors.New("no addresses")
	}
	least := minMTU4
	for i, a := range addrs {
		switch {
		case slices.Contains(addrs[:i], a):
			return fmt.Errorf("address %v is given twice", a)
		case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != "":
			return fmt.Errorf("address %v is not one that a stack can have", a)
		case a.Is6():
			least = minMTU6
		}
	}
	if mtu < least || mtu > maxMTU {
		return fmt.Errorf("MTU %d, want %d to %d", mtu, least, maxMTU)
	}
	return nil
}
