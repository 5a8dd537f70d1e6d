package tunnel

import (
	"tstun/filter"
	"tstun/flow"
)

// PacketNames says how the peers and rules are called that packets have to do with, as
// capture.Options asks. One goroutine at a time may use it.
type PacketNames struct {
	tunnel *Tunnel
	names  *flowNames
}

// PacketNames returns the names, which follow the tunnel.
func (t *Tunnel) PacketNames() *PacketNames { return &PacketNames{t, t.flowNames()} }

// now returns the names as they are now.
func (n *PacketNames) now() *flowNames {
	if n.names.areOld(n.tunnel) {
		n.names = n.tunnel.flowNames()
	}
	return n.names
}

// Peer returns the name of a peer, or its public key if it has none, or "" for what is
// no peer.
func (n *PacketNames) Peer(id flow.PeerID) string {
	p, known := n.now().peers[id]
	switch {
	case !known:
		return ""
	case p.name != "":
		return p.name
	}
	return p.key.String()
}

// Rule returns where the rule stands, as FILE:LINE:COLUMN, by which f lets the packets of
// the flow k pass. It is "" if no rule does, as for the host's own flows, or if f is not
// the policy's in force.
func (n *PacketNames) Rule(f *filter.Filter, k flow.Key) string {
	names := n.now()
	if names.policy == nil || f != names.filter {
		return ""
	}
	if by, known := f.State().InitiatorOf(k, filter.Now()); !known || by == filter.InitiatorHost {
		return ""
	}
	if at := names.rule(f.RuleOf(filter.Inbound, k)); at != nil {
		return at.Position.String()
	}
	return ""
}
