package flow

import "net/netip"

// PeerID names a peer. Equal IDs name the same peer. An ID is valid in this process
// only. The zero PeerID stands for the host.
type PeerID uint64

// numbered is set in the IDs of numbers and prefixes, and clear in those of
// addresses.
const numbered = 1 << 63

// NumberedPeer returns the ID of the peer to which a program gave the number n.
func NumberedPeer(n uint64) PeerID {
	return PeerID(hashKey.words(n, 0, 0, 0, 0) | numbered)
}

// PrefixPeer returns the ID of the peer that owns the prefix p.
func PrefixPeer(p netip.Prefix) PeerID {
	hi, lo, family := addrWords(p.Addr())
	return PeerID(hashKey.words(hi, lo, family, uint64(p.Bits())+1, 0) | numbered)
}

// AddrPeer returns the ID of a peer of which only the address a is known. All IPv6
// addresses of a /64 are one peer, since a single host may hold them all.
func AddrPeer(a netip.Addr) PeerID {
	hi, lo, family := addrWords(a)
	if family == family6 && !a.Is4In6() {
		lo = 0
	}
	return PeerID(max(hashKey.words(hi, lo, family, 0, 0)&^numbered, 1))
}
