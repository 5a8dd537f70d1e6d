package flow

import (
	"net/netip"

	"tstun/ipproto"
	"tstun/packet"
)

// InDatagram returns the key of the datagram that the inbound fragment p is
// of. It is that of no flow: the identification is in place of the ports. By it,
// the addresses and in IPv4 the protocol, a datagram is told from others
// (RFC 791 §2.3, RFC 8200 §4.5). ok is false if p is no fragment.
func InDatagram(p *packet.Parsed) (k Key, ok bool) {
	return datagram(p, p.Dst.Addr(), p.Src.Addr())
}

// OutDatagram is InDatagram for an outbound fragment. An inbound and an
// outbound datagram can have one key.
func OutDatagram(p *packet.Parsed) (k Key, ok bool) {
	return datagram(p, p.Src.Addr(), p.Dst.Addr())
}

func datagram(p *packet.Parsed, host, peer netip.Addr) (k Key, ok bool) {
	f, ok := p.Fragment()
	if !ok {
		return Key{}, false
	}
	proto := ipproto.Fragment // IPv6 fragments only claim to have one
	if p.IPVersion == 4 {
		proto = p.Proto()
	}
	return MakeKey(proto, netip.AddrPortFrom(host, uint16(f.ID>>16)), netip.AddrPortFrom(peer, uint16(f.ID))), true
}
