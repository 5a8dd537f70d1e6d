package flowexpr

import (
	"encoding/binary"
	"net/netip"

	"tstun/filter"
	"tstun/flow"
	"tstun/ipproto"
	"tstun/packet"
)

// Subject is what an Expr is true or false of. Packet, Flow and Refused make one. It is
// small, holds no pointers, and is meant to stay on the stack. The zero Subject is a
// packet that is malformed, without a direction.
type Subject struct {
	// Peer is whose the peer's side is. It may stay 0 if Expr.UsesPeer is false.
	Peer flow.PeerID

	src, dst  side
	version   uint8 // 4 or 6; 0: of no IP version
	proto     ipproto.Proto
	transport transports // empty: the sides have no ports
	way       way
	dropped   bool
	reason    filter.Reason // ReasonNone if not dropped
	length    uint32        // in bytes, if hasLength
	hasLength bool
}

// side is an address and its port.
type side struct {
	hi, lo  uint64 // the address; of IPv4, mapped to IPv6
	version uint8  // of the address; 0: none
	port    uint16
}

// way is a set of directions.
type way uint8

const (
	wayIn way = 1 << iota
	wayOut
)

func wayOf(d filter.Direction) way {
	if d == filter.Inbound {
		return wayIn
	}
	return wayOut
}

// transports is a set of the protocols that have ports.
type transports uint8

const (
	overTCP transports = 1 << iota
	overUDP
	overSCTP

	overAny = overTCP | overUDP | overSCTP
)

func transportOf(p ipproto.Proto) transports {
	switch p {
	case ipproto.TCP:
		return overTCP
	case ipproto.UDP:
		return overUDP
	case ipproto.SCTP:
		return overSCTP
	}
	return 0
}

// Packet returns the Subject of a packet that was decoded, with what became of it. It does
// not keep p. src is its sender.
func Packet(p *packet.Parsed, d filter.Direction, v filter.Verdict) Subject {
	s := Subject{
		version: p.IPVersion, proto: p.Proto(), transport: transportOf(p.IPProto), way: wayOf(d),
		dropped: v.Response.IsDrop(), reason: v.Reason, length: uint32(len(p.Buffer())), hasLength: true,
	}
	s.src.hi, s.src.lo, s.dst.hi, s.dst.lo = p.Addrs()
	s.src.version, s.dst.version = p.IPVersion, p.IPVersion
	s.src.port, s.dst.port = p.Src.Port(), p.Dst.Port()
	return s
}

// Flow returns the Subject of the record of a flow that is open, or was. host and peer are
// its sides, and by is who began it: src and the direction are that side's. If it is not
// known, src is the host and the flow has no direction. It was accepted, and has no length.
func Flow(proto ipproto.Proto, host, peer netip.AddrPort, by filter.Initiator) Subject {
	switch by {
	case filter.InitiatorHost:
		return record(proto, host, peer, wayOut)
	case filter.InitiatorPeer:
		return record(proto, peer, host, wayIn)
	}
	return record(proto, host, peer, 0)
}

// Refused returns the Subject of the record of a flow that was refused for r in direction
// d. src is who wanted to begin it. A side that is not known may be the zero AddrPort, and
// proto ipproto.Unknown: no test of them is then true.
func Refused(proto ipproto.Proto, host, peer netip.AddrPort, d filter.Direction, r filter.Reason) Subject {
	src, dst := host, peer
	if d == filter.Inbound {
		src, dst = peer, host
	}
	s := record(proto, src, dst, wayOf(d))
	s.dropped, s.reason = true, r
	return s
}

func record(proto ipproto.Proto, src, dst netip.AddrPort, w way) Subject {
	s := Subject{src: sideOf(src), dst: sideOf(dst), proto: proto, transport: transportOf(proto), way: w}
	s.version = max(s.src.version, s.dst.version)
	return s
}

func sideOf(a netip.AddrPort) side {
	switch {
	case a.Addr().Is4():
		hi, lo := words(a.Addr())
		return side{hi, lo, 4, a.Port()}
	case a.Addr().Is6():
		hi, lo := words(a.Addr())
		return side{hi, lo, 6, a.Port()}
	}
	return side{}
}

// words returns an address as Parsed.Addrs does.
func words(a netip.Addr) (hi, lo uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
}
