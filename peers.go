package tstun

import (
	"fmt"
	"net/netip"

	"tstun/filter"
	"tstun/flow"
	"tstun/internal/lpm"
	"tstun/packet"
)

// NAT makes a peer know the host's address Host as As. Both are of one IP
// version.
type NAT struct {
	Host, As netip.Addr
}

// Peer says how packets to and from one WireGuard peer differ from the rest.
//
// A peer has a share of everything that is bounded, which no other peer can
// take: of the filter's state, of the statistics, of the answers to refusals. An
// address behind no Peer is a peer of its own; for IPv6 its /64 is.
type Peer struct {
	// ID is the program's own name for the peer, such as a number that it
	// gave the public key. A peer keeps its share, and what is known of it,
	// from one SetPeers to the next by it. 0: the first of Prefixes does.
	ID uint64
	// Prefixes are the addresses behind the peer: its allowed IPs.
	Prefixes []netip.Prefix
	// NAT translates the host's addresses for this peer: outbound the source,
	// inbound the destination, and the packets quoted in ICMP errors.
	NAT []NAT
	// Jailed refuses every flow that the peer tries to open, whatever the
	// rules allow. It may answer the host.
	Jailed bool
}

// peer is a Peer in the form that the path uses.
type peer struct {
	id     flow.PeerID
	nat    []NAT
	jailed bool
}

// flags returns what the filter has to know of p, which may be nil.
func (p *peer) flags() filter.RunFlags {
	if p != nil && p.jailed {
		return filter.Jailed
	}
	return 0
}

// peerTable finds the peer behind an address by longest prefix.
type peerTable struct {
	byAddr lpm.Table[*peer]
}

// SetPeers says which addresses are whose, and sets NAT and jails for peers;
// addresses of no peer get neither. Once it has named a peer, an ICMP error is
// taken only from behind the peer whose flow it is about. On an error nothing
// changes. The Wrapper keeps nothing of the slice.
func (w *Wrapper) SetPeers(peers []Peer) error {
	table, err := newPeerTable(peers)
	if err != nil {
		return err
	}
	w.update(func(c *config) { c.peers = table })
	return nil
}

func newPeerTable(peers []Peer) (*peerTable, error) {
	if len(peers) == 0 {
		return nil, nil
	}
	t := new(peerTable)
	ids := make(map[uint64]int)
	for i, p := range peers {
		if j, taken := ids[p.ID]; taken && p.ID != 0 {
			return nil, fmt.Errorf("tstun: peer %d: ID %d is that of peer %d", i, p.ID, j)
		}
		ids[p.ID] = i
		entry := &peer{id: p.peerID(), nat: append([]NAT(nil), p.NAT...), jailed: p.Jailed}
		if err := entry.check(); err != nil {
			return nil, fmt.Errorf("tstun: peer %d: %w", i, err)
		}
		for _, prefix := range p.Prefixes {
			if !prefix.IsValid() || prefix.Addr().Is4In6() {
				return nil, fmt.Errorf("tstun: peer %d: prefix %v is not valid", i, prefix)
			}
			if _, taken := t.byAddr.Get(prefix.Masked()); taken {
				return nil, fmt.Errorf("tstun: peer %d: prefix %v is given twice", i, prefix)
			}
			t.byAddr.Insert(prefix.Masked(), entry)
		}
	}
	return t, nil
}

// peerID returns the ID that p has in shares.
func (p *Peer) peerID() flow.PeerID {
	switch {
	case p.ID != 0:
		return flow.NumberedPeer(p.ID)
	case len(p.Prefixes) > 0:
		return flow.PrefixPeer(p.Prefixes[0].Masked())
	}
	return 0 // nothing comes from it
}

// check refuses translations that could not be undone.
func (p *peer) check() error {
	hosts, aliases := make(map[netip.Addr]bool), make(map[netip.Addr]bool)
	for _, n := range p.nat {
		if !n.Host.IsValid() || !n.As.IsValid() || n.Host.Is4() != n.As.Is4() {
			return fmt.Errorf("NAT from %v to %v: want two addresses of one IP version", n.Host, n.As)
		}
		if hosts[n.Host] || aliases[n.As] {
			return fmt.Errorf("NAT from %v to %v: an address is given twice", n.Host, n.As)
		}
		hosts[n.Host], aliases[n.As] = true, true
	}
	return nil
}

// whose returns t as the filter asks it, nil for none.
func (t *peerTable) whose() filter.Peers {
	if t == nil {
		return nil
	}
	return t
}

func (t *peerTable) find(a netip.Addr) *peer {
	if t == nil {
		return nil
	}
	p, _ := t.byAddr.Lookup(a)
	return p
}

// PeerOf returns the peer behind a. It implements filter.Peers.
func (t *peerTable) PeerOf(a netip.Addr) flow.PeerID {
	if p := t.find(a); p != nil {
		return p.id
	}
	return flow.AddrPeer(a)
}

// sourceNAT makes an outbound packet's source the address that the peer knows.
// An ICMP error that comes from another address, of a router behind this node,
// quotes a packet to the host's all the same.
func (p *peer) sourceNAT(pkt *packet.Parsed) {
	for _, n := range p.nat {
		if pkt.Src.Addr() == n.Host {
			pkt.SetSrcAddr(n.As)
			return
		}
	}
	if !pkt.IsError() {
		return
	}
	for _, n := range p.nat {
		if pkt.SetQuotedDstAddr(n.Host, n.As) {
			return
		}
	}
}

// destinationNAT makes an inbound packet's destination the host's own address.
func (p *peer) destinationNAT(pkt *packet.Parsed) {
	for _, n := range p.nat {
		if pkt.Dst.Addr() == n.As {
			pkt.SetDstAddr(n.Host)
			return
		}
	}
}
