package tstun

import (
	"fmt"
	"net/netip"

	"tstun/flow"
	"tstun/internal/pipeline"
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
	// MSSClamp bounds the segments of TCP connections with the peer, as
	// SetMSSClamp does for all.
	MSSClamp MSSClamp
}

// SetPeers says which addresses are whose, and sets NAT and jails for peers;
// addresses of no peer get neither. Once it has named a peer, an ICMP error is
// taken only from behind the peer whose flow it is about. On an error nothing
// changes. The Wrapper keeps nothing of the slice.
func (w *Wrapper) SetPeers(peers []Peer) error {
	table, err := newPeers(peers)
	if err != nil {
		return err
	}
	w.update(func(c *config) { c.Peers = table })
	return nil
}

// PeerOf returns the peer that a counts as, as said at Peer. It may change with
// SetPeers.
func (w *Wrapper) PeerOf(a netip.Addr) flow.PeerID { return w.config.Load().Peers.PeerOf(a) }

func newPeers(peers []Peer) (*pipeline.Peers, error) {
	if len(peers) == 0 {
		return nil, nil
	}
	t := new(pipeline.Peers)
	ids := make(map[uint64]int)
	for i, p := range peers {
		if j, taken := ids[p.ID]; taken && p.ID != 0 {
			return nil, fmt.Errorf("tstun: peer %d: ID %d is that of peer %d", i, p.ID, j)
		}
		ids[p.ID] = i
		if err := p.checkNAT(); err != nil {
			return nil, fmt.Errorf("tstun: peer %d: %w", i, err)
		}
		entry := p.forPipeline()
		for _, prefix := range p.Prefixes {
			if !prefix.IsValid() || prefix.Addr().Is4In6() {
				return nil, fmt.Errorf("tstun: peer %d: prefix %v is not valid", i, prefix)
			}
			if !t.Insert(prefix.Masked(), entry) {
				return nil, fmt.Errorf("tstun: peer %d: prefix %v is given twice", i, prefix)
			}
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

// forPipeline returns a copy of p as the pipeline knows it.
func (p *Peer) forPipeline() *pipeline.Peer {
	to := &pipeline.Peer{ID: p.peerID(), Jailed: p.Jailed, MSS: pipeline.MSS(p.MSSClamp)}
	for _, n := range p.NAT {
		to.NAT = append(to.NAT, pipeline.NAT(n))
	}
	return to
}

// checkNAT refuses translations that could not be undone.
func (p *Peer) checkNAT() error {
	hosts, aliases := make(map[netip.Addr]bool), make(map[netip.Addr]bool)
	for _, n := range p.NAT {
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
