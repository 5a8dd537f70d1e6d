package hostnet

import (
	"fmt"
	"net/netip"
)

// Listeners returns the addresses at which programs of the host take what is begun towards
// a port and comes by the interface: connections, with the network "tcp", or datagrams,
// with "udp". The unspecified address stands for all addresses of its IP version. Sockets
// that are connected take nothing that is begun.
//
// An error says that the kernel does not tell.
func (h *Host) Listeners(network string, port uint16) ([]netip.Addr, error) {
	all, err := h.listeners(network, port)
	if err != nil {
		return nil, fmt.Errorf("hostnet: who listens at %s port %d: %w", network, port, err)
	}
	return all, nil
}
