package netstack

import (
	"net"
	"net/netip"
	"strconv"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// transport is the first part of a network's name.
type transport string

const (
	overTCP transport = "tcp"
	overUDP transport = "udp"
)

// endpoint is a parsed network and address.
type endpoint struct {
	over   transport
	proto  tcpip.NetworkProtocolNumber
	addr   netip.AddrPort // the address is the zero one for the unspecified
	v6Only bool           // an IPv6 socket is not to take IPv4 as well
}

// parse reads a network such as "tcp4" and an address such as "[fd00::1]:80".
// There are no names, neither of hosts nor of ports.
func parse(network, address string) (endpoint, error) {
	e, err := parseNetwork(network)
	if err != nil {
		return endpoint{}, err
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return endpoint{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return endpoint{}, &net.AddrError{Err: "want a port number from 0 to 65535", Addr: address}
	}
	var ip netip.Addr
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return endpoint{}, &net.AddrError{Err: "want an IP address, there is no DNS here", Addr: address}
		}
		if ip.Zone() != "" {
			return endpoint{}, &net.AddrError{Err: "zones are not supported", Addr: address}
		}
		ip = ip.Unmap()
	}
	if err := e.settle(ip); err != nil {
		return endpoint{}, &net.AddrError{Err: err.Error(), Addr: address}
	}
	e.addr = netip.AddrPortFrom(ip, uint16(port))
	return e, nil
}

func parseNetwork(network string) (endpoint, error) {
	switch network {
	case "tcp":
		return endpoint{over: overTCP}, nil
	case "tcp4":
		return endpoint{over: overTCP, proto: ipv4.ProtocolNumber}, nil
	case "tcp6":
		return endpoint{over: overTCP, proto: ipv6.ProtocolNumber}, nil
	case "udp":
		return endpoint{over: overUDP}, nil
	case "udp4":
		return endpoint{over: overUDP, proto: ipv4.ProtocolNumber}, nil
	case "udp6":
		return endpoint{over: overUDP, proto: ipv6.ProtocolNumber}, nil
	default:
		return endpoint{}, net.UnknownNetworkError(network)
	}
}

type familyError string

func (e familyError) Error() string { return string(e) }

// settle makes the IP version of the socket that of ip. Without both, an IPv6
// socket takes IPv4 too.
func (e *endpoint) settle(ip netip.Addr) error {
	asked := e.proto
	switch {
	case ip.Is4():
		e.proto = ipv4.ProtocolNumber
	case ip.Is6():
		e.proto, e.v6Only = ipv6.ProtocolNumber, !ip.IsUnspecified()
	case asked == 0:
		e.proto = ipv6.ProtocolNumber
		return nil
	}
	if asked != 0 && asked != e.proto {
		return familyError("the address is of the other IP version")
	}
	e.v6Only = e.v6Only || asked == ipv6.ProtocolNumber
	return nil
}

// full returns the address as the stack wants it. The unspecified address is
// an empty one there.
func (e endpoint) full() tcpip.FullAddress { return fullAddress(e.addr) }

func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	f := tcpip.FullAddress{Port: a.Port()}
	if ip := a.Addr(); ip.IsValid() && !ip.IsUnspecified() {
		f.Addr = tcpip.AddrFromSlice(ip.AsSlice())
	}
	return f
}

// netAddr is the address in the terms of package net.
func (e endpoint) netAddr() net.Addr {
	if e.over == overTCP {
		return net.TCPAddrFromAddrPort(e.addr)
	}
	return net.UDPAddrFromAddrPort(e.addr)
}
