package proxy

import (
	"errors"
	"net"
	"net/netip"
)

// maxDatagram is the largest payload of a UDP datagram: 65535 bytes less the
// header (RFC 768), as IPv6 could carry it.
const maxDatagram = 65535 - 8

// udpSocket is a socket that is used by addresses in their value form, which
// for those of package net costs no allocation.
type udpSocket struct {
	net.PacketConn
	fast interface { // nil if the socket has no such methods
		ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error)
		WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
	}
}

func newUDPSocket(c net.PacketConn) udpSocket {
	s := udpSocket{PacketConn: c}
	if u, ok := c.(*net.UDPConn); ok {
		s.fast = u
	}
	return s
}

// read returns the length of the next datagram and its sender. It reports what
// earlier datagrams met only if it ends the socket.
func (s udpSocket) read(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := s.readOnce(b)
		if err == nil || !isPassing(err) {
			return n, from, err
		}
	}
}

func (s udpSocket) readOnce(b []byte) (int, netip.AddrPort, error) {
	if s.fast != nil {
		n, from, err := s.fast.ReadFromUDPAddrPort(b)
		return n, unmapped(from), err
	}
	n, addr, err := s.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	from, ok := addrPortOf(addr)
	if !ok {
		return n, netip.AddrPort{}, errors.New("a datagram came from no UDP address: " + addr.String())
	}
	return n, from, nil
}

func (s udpSocket) write(b []byte, to netip.AddrPort) error {
	var err error
	if s.fast != nil {
		_, err = s.fast.WriteToUDPAddrPort(b, to)
	} else {
		_, err = s.WriteTo(b, net.UDPAddrFromAddrPort(to))
	}
	return err
}

// addrPortOf returns the address of a TCP or UDP socket.
func addrPortOf(a net.Addr) (netip.AddrPort, bool) {
	v, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}, false
	}
	addr := unmapped(v.AddrPort())
	return addr, addr.IsValid()
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
