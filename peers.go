package tstun

import (
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"

	"tstun/packet"
)

// NAT makes a peer know the host's address Host as As. Both are of one IP
// version.
type NAT struct {
	Host, As netip.Addr
}

// Peer says how packets to and from one WireGuard peer differ from the rest.
type Peer struct {
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
	nat    []NAT
	jailed bool
}

// peerTable finds the peer behind an address by longest prefix.
type peerTable struct {
	byAddr bart.Table[*peer]
}

// SetPeers sets NAT and jails for peers; addresses of no peer get neither. On
// an error nothing changes. The Wrapper keeps nothing of the slice.
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
	for i, p := range peers {
		entry := &peer{nat: append([]NAT(nil), p.NAT...), jailed: p.Jailed}
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

func (t *peerTable) find(a netip.Addr) *peer {
	if t == nil {
		return nil
	}
	p, _ := t.byAddr.Lookup(a)
	return p
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
