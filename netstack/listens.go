package netstack

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"tstun/ipproto"
)

// Listens reports whether a socket of the stack takes what a peer begins towards at: of
// ipproto.TCP a listener, of ipproto.UDP one that is not connected. Of other protocols
// none does.
func (s *Stack) Listens(proto ipproto.Proto, at netip.AddrPort) bool {
	var transport tcpip.TransportProtocolNumber
	switch proto {
	case ipproto.TCP:
		transport = tcp.ProtocolNumber
	case ipproto.UDP:
		transport = udp.ProtocolNumber
	default:
		return false
	}
	network := protocol6
	if at.Addr().Is4() {
		network = protocol4
	}
	id := stack.TransportEndpointID{LocalPort: at.Port(), LocalAddress: fullAddress(at).Addr}
	return s.ip.FindTransportEndpoint(network, transport, id, nicID) != nil
}
