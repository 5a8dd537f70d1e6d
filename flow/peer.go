package flow

import "net/netip"

// PeerID names a peer. Equal IDs are the same peer; an ID is good for this
// process only. The zero PeerID is no peer: the host.
type PeerID uint64

// numbered tells the IDs of numbers from those of addresses.
const numbered = 1 << 63

// NumberedPeer returns the ID of the peer that a program calls n.
func NumberedPeer(n uint64) PeerID {
	return PeerID(hashKey.words(n, 0, 0, 0, 0) | numbered)
}

// PrefixPeer returns the ID of the peer that is known by the prefix p.
func PrefixPeer(p netip.Prefix) PeerID {
	hi, lo, family := addrWords(p.Addr())
	return PeerID(hashKey.words(hi, lo, family, uint64(p.Bits())+1, 0) | numbered)
}

// AddrPeer returns the ID of a peer of which an address is all that is known.
// The IPv6 addresses of one /64, which is what a single host may hold, are
// one peer.
func AddrPeer(a netip.Addr) PeerID {
	hi, lo, family := addrWords(a)
	if family == family6 && !a.Is4In6() {
		lo = 0
	}
	return PeerID(max(hashKey.words(hi, lo, family, 0, 0)&^numbered, 1))
}
