package flow

import (
	"net/netip"

	"tstun/ipproto"
	"tstun/packet"
)

// InDatagram returns the key of the datagram that the inbound fragment p belongs
// to. It has the identification in place of the ports, and is the key of no flow.
// Identification, addresses and in IPv4 the protocol name a datagram (RFC 791
// §2.3, RFC 8200 §4.5). ok is false if p is no fragment.
func InDatagram(p *packet.Parsed) (k Key, ok bool) {
	return datagram(p, p.Dst.Addr(), p.Src.Addr())
}

// OutDatagram returns the key of the datagram that the outbound fragment p belongs
// to, in the form of InDatagram. An inbound and an outbound datagram can have one
// key. ok is false if p is no fragment.
func OutDatagram(p *packet.Parsed) (k Key, ok bool) {
	return datagram(p, p.Src.Addr(), p.Dst.Addr())
}

func datagram(p *packet.Parsed, host, peer netip.Addr) (k Key, ok bool) {
	f, ok := p.Fragment()
	if !ok {
		return Key{}, false
	}
	proto := ipproto.Fragment // the protocol in an IPv6 fragment means nothing
	if p.IPVersion == 4 {
		proto = p.Proto()
	}
	return MakeKey(proto, netip.AddrPortFrom(host, uint16(f.ID>>16)), netip.AddrPortFrom(peer, uint16(f.ID))), true
}
