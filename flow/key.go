package flow

import (
	"encoding/binary"
	"net/netip"

	"tstun/ipproto"
	"tstun/packet"
)

// Key names a flow: its protocol, the host's address and port and the peer's
// address and port. Keys are comparable, hold no pointers and take 40 bytes.
// An IPv4 address and the IPv6 address that maps it are different; zones are left
// out. The zero Key names no flow.
type Key struct {
	hostHi, hostLo uint64
	peerHi, peerLo uint64
	// host port 16 bits, peer port 16, tag 16, protocol 8, family of the
	// host's address 4, of the peer's address 4. The tag is part of the hash in
	// the keys of a Table and of an ID, and 0 in all others.
	rest uint64
}

const (
	tagShift = 16
	tagMask  = 0xffff << tagShift
)

// Families as Key.rest holds them.
const (
	familyNone = iota
	family4
	family6
)

// MakeKey returns the key of the flow between host and peer.
func MakeKey(proto ipproto.Proto, host, peer netip.AddrPort) Key {
	var k Key
	var hostFamily, peerFamily uint64
	k.hostHi, k.hostLo, hostFamily = addrWords(host.Addr())
	k.peerHi, k.peerLo, peerFamily = addrWords(peer.Addr())
	k.rest = uint64(host.Port())<<48 | uint64(peer.Port())<<32 |
		uint64(proto)<<8 | hostFamily<<4 | peerFamily
	return k
}

// In returns the key of the flow that the inbound packet p belongs to: the
// host's side is p.Dst. Ports are 0 where the packet carries none.
func In(p *packet.Parsed) Key {
	var id ID
	id.SetIn(p)
	return id.Key()
}

// Out returns the key of the flow that the outbound packet p belongs to: the
// host's side is p.Src. Ports are 0 where the packet carries none.
func Out(p *packet.Parsed) Key {
	var id ID
	id.SetOut(p)
	return id.Key()
}

// protoAndFamily returns the lower 16 bits of Key.rest for p.
func protoAndFamily(p *packet.Parsed) uint64 {
	families := uint64(familyNone)
	switch p.IPVersion {
	case 4:
		families = family4<<4 | family4
	case 6:
		families = family6<<4 | family6
	}
	return uint64(p.Proto())<<8 | families
}

// equal reports whether *k == *other, with one branch.
func (k *Key) equal(other *Key) bool {
	return (k.hostHi^other.hostHi)|(k.hostLo^other.hostLo)|
		(k.peerHi^other.peerHi)|(k.peerLo^other.peerLo)|
		(k.rest^other.rest) == 0
}

// tag returns the bits of Key.rest that hold a part of the hash, never 0. In a Table
// they make most keys differ in their last word, and all from the zero Key of free
// slots.
func tag(hash uint64) uint64 { return (hash>>32&0xffff | 1) << tagShift }

func (k Key) untagged() Key {
	k.rest &^= tagMask
	return k
}

// WithPorts returns k with other ports.
func (k Key) WithPorts(host, peer uint16) Key {
	k.rest = uint64(host)<<48 | uint64(peer)<<32 | k.rest&0xffff
	return k
}

// Tag returns a few bits of k that tell most keys apart, never 0.
func (k Key) Tag() uint16 { return tagOf(k.hostHi, k.hostLo, k.peerHi, k.peerLo, k.rest) }

func tagOf(hostHi, hostLo, peerHi, peerLo, rest uint64) uint16 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 by the golden ratio
	x := (hostHi ^ peerHi ^ hostLo*odd ^ peerLo ^ rest*odd) * odd
	return uint16(x>>48) | 1
}

// Proto returns the flow's protocol.
func (k Key) Proto() ipproto.Proto { return ipproto.Proto(k.rest >> 8) }

// Host returns the host's address and port.
func (k Key) Host() netip.AddrPort {
	return netip.AddrPortFrom(wordsAddr(k.hostHi, k.hostLo, uint8(k.rest>>4&0xf)), uint16(k.rest>>48))
}

// Peer returns the peer's address and port.
func (k Key) Peer() netip.AddrPort {
	return netip.AddrPortFrom(wordsAddr(k.peerHi, k.peerLo, uint8(k.rest&0xf)), uint16(k.rest>>32))
}

// HostPort returns the host's port.
func (k Key) HostPort() uint16 { return uint16(k.rest >> 48) }

// PeerPort returns the peer's port.
func (k Key) PeerPort() uint16 { return uint16(k.rest >> 32) }

// String returns the key in the form "tcp 100.64.0.1:443 <> 100.64.0.2:5000",
// the host's side first.
func (k Key) String() string {
	return k.Proto().String() + " " + k.Host().String() + " <> " + k.Peer().String()
}

func addrWords(a netip.Addr) (hi, lo, family uint64) {
	switch {
	case a.Is4():
		b := a.As4()
		return 0, 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[:])), family4 // RFC 4291 §2.5.5.2
	case a.Is6():
		b := a.As16()
		return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), family6
	}
	return 0, 0, familyNone
}

func wordsAddr(hi, lo uint64, family uint8) netip.Addr {
	switch family {
	case family4:
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(lo))
		return netip.AddrFrom4(b)
	case family6:
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], hi)
		binary.BigEndian.PutUint64(b[8:], lo)
		return netip.AddrFrom16(b)
	}
	return netip.Addr{}
}
