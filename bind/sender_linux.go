package bind

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// senders makes endpoints of socket addresses. What consecutive messages of a call came
// from is one endpoint, not one for each: wireguard-go changes an endpoint under the
// lock of its peer, so that one must not outlive the call.
type senders struct {
	last     *endpoint // nil: none yet
	name, to []byte    // of last

	zone zone
}

// forget makes the next endpoint a new one.
func (s *senders) forget() { s.last = nil }

// endpoint returns the endpoint for a sender, which sent to an address of ours as the
// control message to says.
func (s *senders) endpoint(name, to []byte) conn.Endpoint {
	if s.last == nil || !bytes.Equal(name, s.name) || !bytes.Equal(to, s.to) {
		s.last = &endpoint{s.parse(name), slices.Clone(to)}
		s.name, s.to = append(s.name[:0], name...), append(s.to[:0], to...)
	}
	return s.last.std()
}

// parse returns the address in a struct sockaddr_in or sockaddr_in6.
func (s *senders) parse(name []byte) netip.AddrPort {
	if len(name) < unix.SizeofSockaddrInet4 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(name[2:])
	if len(name) < unix.SizeofSockaddrInet6 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(name[4:8])), port)
	}
	a := netip.AddrFrom16([16]byte(name[8:24]))
	if zone := binary.NativeEndian.Uint32(name[24:]); zone != 0 {
		a = a.WithZone(s.zone.nameOf(zone))
	}
	return netip.AddrPortFrom(a, port)
}
