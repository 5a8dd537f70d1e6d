package proxy

import (
	"context"
	"net"
	"net/netip"
)

// Resolver finds the addresses of a host's name. *net.Resolver is one.
type Resolver interface {
	// LookupNetIP returns the addresses of host, preferred ones first.
	// network is always "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Network is where connections come from or go to. The methods are those of
// package net, and are called from any goroutine. Addresses to dial are IP
// addresses with ports; those to listen on may lack the IP address.
type Network interface {
	Resolver
	// DialContext opens a connection. network is "tcp" or "udp".
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	// Listen accepts TCP connections. network is "tcp".
	Listen(network, address string) (net.Listener, error)
	// ListenPacket receives UDP datagrams. network is "udp".
	ListenPacket(network, address string) (net.PacketConn, error)
}

// Host is the Network of the operating system.
type Host struct {
	Names Resolver // nil: net.DefaultResolver
}

// DialContext implements Network.
func (Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Listen implements Network.
func (Host) Listen(network, address string) (net.Listener, error) {
	return net.Listen(network, address)
}

// ListenPacket implements Network.
func (Host) ListenPacket(network, address string) (net.PacketConn, error) {
	return net.ListenPacket(network, address)
}

// LookupNetIP implements Resolver.
func (h Host) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if h.Names == nil {
		return net.DefaultResolver.LookupNetIP(ctx, network, host)
	}
	return h.Names.LookupNetIP(ctx, network, host)
}
