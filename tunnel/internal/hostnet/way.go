package hostnet

import (
	"fmt"
	"net/netip"
	"syscall"
)

// Way is how the host sends packets to an address.
type Way struct {
	Interface string // its name, or empty if the address is the host's own
	Local     bool   // the address is the host's own
	Inside    bool   // it goes into the tunnel
}

// WayTo returns how the host sends what comes from src, if that is an address of its
// own, to dst: by routes and rules, without the tunnel's mark. An error says that it
// sends it nowhere.
func (h *Host) WayTo(src, dst netip.Addr) (Way, error) {
	w, err := h.wayTo(src, dst)
	if err != nil {
		return w, fmt.Errorf("hostnet: route to %v: %w", dst, err)
	}
	return w, nil
}

// PathMTU returns the longest packet in bytes, IP header included, that goes unbroken
// to where a UDP socket is connected, as far as the kernel knows by now: by the
// interface, the route, and what routers said. It is 0 where the system does not tell.
func PathMTU(c syscall.RawConn) int { return pathMTU(c) }

// DontFragment has a UDP socket send packets whole or not at all, where the system has
// that.
func DontFragment(c syscall.RawConn) error { return dontFragment(c) }
