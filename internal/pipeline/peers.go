package pipeline

import (
	"net/netip"

	"tstun/filter"
	"tstun/flow"
	"tstun/internal/lpm"
	"tstun/packet"
)

// NAT makes a peer know the host's address Host as As.
type NAT struct {
	Host, As netip.Addr
}

// Peer is how packets to and from a WireGuard peer differ from the rest.
type Peer struct {
	ID     flow.PeerID
	NAT    []NAT
	Jailed bool
	MSS    MSS // bound for connections with the peer
}

// flags returns what the filter has to know of p, or 0 for nil.
func (p *Peer) flags() filter.RunFlags {
	if p != nil && p.Jailed {
		return filter.Jailed
	}
	return 0
}

// translates reports whether p has NAT. Nil has none.
func (p *Peer) translates() bool { return p != nil && len(p.NAT) > 0 }

// sourceNAT makes an outbound packet's source the address that the peer knows.
// An ICMP error that comes from another address, of a router behind this node,
// quotes a packet to the host's all the same.
func (p *Peer) sourceNAT(pkt *packet.Parsed) {
	for _, n := range p.NAT {
		if pkt.Src.Addr() == n.Host {
			pkt.SetSrcAddr(n.As)
			return
		}
	}
	if !pkt.IsError() {
		return
	}
	for _, n := range p.NAT {
		if pkt.SetQuotedDstAddr(n.Host, n.As) {
			return
		}
	}
}

// destinationNAT makes an inbound packet's destination the host's own address.
func (p *Peer) destinationNAT(pkt *packet.Parsed) {
	for _, n := range p.NAT {
		if pkt.Dst.Addr() == n.As {
			pkt.SetDstAddr(n.Host)
			return
		}
	}
}

// Peers finds the peer behind an address by longest prefix. Nil has none.
type Peers struct {
	byAddr lpm.Table[*Peer]
}

// Insert gives a prefix, whose host bits are 0, to a peer. It returns false if
// it is given already. It must not be called once a Config has the Peers.
func (t *Peers) Insert(prefix netip.Prefix, p *Peer) bool {
	if _, taken := t.byAddr.Get(prefix); taken {
		return false
	}
	t.byAddr.Insert(prefix, p)
	return true
}

// PeerOf returns the peer behind a. It implements filter.Peers.
func (t *Peers) PeerOf(a netip.Addr) flow.PeerID {
	if p := t.find(a); p != nil {
		return p.ID
	}
	return flow.AddrPeer(a)
}

// forFilter returns t as the filter asks it, or nil for none.
func (t *Peers) forFilter() filter.Peers {
	if t == nil {
		return nil
	}
	return t
}

// find returns the peer behind a, or nil if there is none.
func (t *Peers) find(a netip.Addr) *Peer {
	if t == nil {
		return nil
	}
	p, _ := t.byAddr.Lookup(a)
	return p
}
