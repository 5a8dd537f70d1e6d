package tunnel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

const (
	vxlanDevice   = "bench-vxlan"
	vxlanPort     = 4789 // RFC 7348 §5
	vxlanOverhead = 50   // bytes: IPv4, UDP, VXLAN and Ethernet headers
)

// vxlan makes the same transfer without and with checksums in the outer datagrams. The
// kernel's default, and that of RFC 7348, is to have none over IPv4.
func (t *trial) vxlan() error {
	return errors.Join(t.throughVXLAN("TCP in VXLAN, without UDP checksums", false),
		t.throughVXLAN("TCP in VXLAN, with UDP checksums", true))
}

func (t *trial) throughVXLAN(measure string, checksums bool) (err error) {
	addresses := [2]netip.Prefix{netip.MustParsePrefix("198.18.0.1/24"), netip.MustParsePrefix("198.18.0.2/24")}
	sides := t.sides()
	for i, s := range sides {
		other := sides[1-i]
		defer func() { err = errors.Join(err, s.ns.Do(removeVXLAN)) }()
		if err := s.ns.Do(func() error {
			return addVXLAN(s.inner.Addr(), other.inner.Addr(), t.cfg.MTU-vxlanOverhead, checksums)
		}); err != nil {
			return err
		}
		if err := s.ns.AddAddr(vxlanDevice, addresses[i]); err != nil {
			return err
		}
	}
	return t.tcp(measure, addresses[1].Addr(), 1)
}

// addVXLAN makes a VXLAN of two ends in the calling thread's namespace.
func addVXLAN(from, to netip.Addr, mtu int, checksums bool) error {
	link := &netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{Name: vxlanDevice, MTU: mtu},
		VxlanId:   1, SrcAddr: net.IP(from.AsSlice()), Group: net.IP(to.AsSlice()), Port: vxlanPort, UDPCSum: checksums,
	}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("add a VXLAN: %w", err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring the VXLAN up: %w", err)
	}
	return nil
}

// removeVXLAN removes it, if it is there.
func removeVXLAN() error {
	link, err := netlink.LinkByName(vxlanDevice)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}
