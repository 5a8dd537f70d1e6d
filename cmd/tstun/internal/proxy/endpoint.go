package proxy

import (
	"net"
	"net/netip"
	"strconv"
)

// Endpoint is a host and a port. The host is a name, an IP address without
// brackets, or, where one is listened on, "" for all addresses.
type Endpoint struct {
	Host string
	Port uint16
}

// String returns the form of net.JoinHostPort.
func (e Endpoint) String() string {
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// addr returns the address that Host is, if it is one.
func (e Endpoint) addr() (netip.AddrPort, bool) {
	ip, err := netip.ParseAddr(e.Host)
	return netip.AddrPortFrom(ip.Unmap(), e.Port), err == nil
}
