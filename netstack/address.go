package netstack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

const (
	protocol4 = ipv4.ProtocolNumber
	protocol6 = ipv6.ProtocolNumber
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

// Lookup finds addresses of names, and ports. A *Resolver does, and so does a
// *net.Resolver, which asks the operating system's servers.
type Lookup interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupPort(ctx context.Context, network, service string) (int, error)
}

// resolve reads a network such as "tcp4" and an address such as "[fd00::1]:80"
// or "web:http", which can have several addresses. names may be nil. No address
// is the zero one, for sockets that listen.
func (s *Stack) resolve(ctx context.Context, names Lookup, network, address string) ([]endpoint, error) {
	if names == nil {
		names = s.names
	}
	e, err := parseNetwork(network)
	if err != nil {
		return nil, err
	}
	if address == "" {
		return e.at([]netip.Addr{{}}, 0, "")
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := lookUpPort(ctx, names, network, service)
	if err != nil {
		return nil, err
	}
	ips, err := e.lookUpHost(ctx, names, host)
	if err != nil {
		return nil, err
	}
	return e.at(ips, port, host)
}

// resolveOne is resolve for a socket of the stack's own: the first IPv4 address
// counts, or else the first. The error is a net.OpError.
func (s *Stack) resolveOne(ctx context.Context, over transport, network, address string) (endpoint, error) {
	all, err := s.resolve(ctx, nil, network, address)
	if err != nil {
		return endpoint{}, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	e := all[max(slices.IndexFunc(all, func(e endpoint) bool { return e.addr.Addr().Is4() }), 0)]
	if e.over != over {
		err = &net.AddrError{Err: "unexpected address type", Addr: address}
		return endpoint{}, opError("listen", network, nil, e.netAddr(), err)
	}
	return e, nil
}

// lookUpPort returns the number of a port. The names of services need no
// servers: the operating system has a list.
func lookUpPort(ctx context.Context, names Lookup, network, service string) (uint16, error) {
	if service == "" {
		return 0, nil
	}
	port, err := strconv.Atoi(service)
	if errors.Is(err, strconv.ErrSyntax) {
		if names == nil {
			names = net.DefaultResolver
		}
		if port, err = names.LookupPort(ctx, network, service); err != nil {
			return 0, err
		}
	}
	if port < 0 || port > maxPort {
		return 0, &net.AddrError{Err: "invalid port", Addr: service}
	}
	return uint16(port), nil
}

const maxPort = 1<<16 - 1

// lookUpHost returns the addresses of a name, or the one that host is. No host
// is the zero address.
func (e endpoint) lookUpHost(ctx context.Context, names Lookup, host string) ([]netip.Addr, error) {
	if host == "" {
		return []netip.Addr{{}}, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return nil, &net.AddrError{Err: "zones are not supported", Addr: host}
		}
		return []netip.Addr{ip.Unmap()}, nil
	}
	if names == nil {
		return nil, &net.DNSError{Err: "no name servers: give Config a Resolver, or an IP address", Name: host}
	}
	version := map[tcpip.NetworkProtocolNumber]string{protocol4: "ip4", protocol6: "ip6"}[e.proto]
	if version == "" {
		version = "ip"
	}
	return names.LookupNetIP(ctx, version, host)
}

// at returns the endpoints at those of the host's addresses that are of the
// right IP version.
func (e endpoint) at(ips []netip.Addr, port uint16, host string) ([]endpoint, error) {
	if len(ips) == 1 && ips[0] == netip.IPv6Unspecified() {
		ips = append(ips, netip.IPv4Unspecified()) // as package net has it
	}
	var all []endpoint
	for _, ip := range ips {
		if one := e; one.settle(ip.Unmap()) {
			one.addr = netip.AddrPortFrom(ip.Unmap(), port)
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return nil, noSuitableAddress(host)
	}
	return all, nil
}

// noSuitableAddress is that the address is of the other IP version.
func noSuitableAddress(address string) error {
	return &net.AddrError{Err: "no suitable address found", Addr: address}
}

func parseNetwork(network string) (endpoint, error) {
	switch network {
	case "tcp":
		return endpoint{over: overTCP}, nil
	case "tcp4":
		return endpoint{over: overTCP, proto: protocol4}, nil
	case "tcp6":
		return endpoint{over: overTCP, proto: protocol6}, nil
	case "udp":
		return endpoint{over: overUDP}, nil
	case "udp4":
		return endpoint{over: overUDP, proto: protocol4}, nil
	case "udp6":
		return endpoint{over: overUDP, proto: protocol6}, nil
	default:
		return endpoint{}, net.UnknownNetworkError(network)
	}
}

// settle sets the IP version of a socket at ip, unless the network does. Where
// neither does, an IPv6 socket takes IPv4 too. It reports whether ip is of that
// version.
func (e *endpoint) settle(ip netip.Addr) bool {
	switch {
	case e.proto != 0:
		e.v6Only = e.proto == protocol6
		return !ip.IsValid() || ip.Is4() == (e.proto == protocol4)
	case !ip.IsValid() || ip.IsUnspecified():
		e.proto = protocol6
	case ip.Is4():
		e.proto = protocol4
	default:
		e.proto, e.v6Only = protocol6, true
	}
	return true
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

// shown returns the stack's address of a socket at e as package net shows it:
// with the unspecified address where there is none.
func (e endpoint) shown(a tcpip.FullAddress) netip.AddrPort {
	ap := addrPort(a)
	switch {
	case ap.Addr().IsValid():
		return ap
	case e.proto == protocol4:
		return netip.AddrPortFrom(netip.IPv4Unspecified(), ap.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Unspecified(), ap.Port())
}

// addrPort is the inverse of fullAddress, without IPv4-mapped addresses.
func addrPort(a tcpip.FullAddress) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(a.Addr.AsSlice())
	return netip.AddrPortFrom(ip.Unmap(), a.Port)
}
