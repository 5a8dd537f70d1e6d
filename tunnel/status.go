package tunnel

import (
	"net/netip"
	"slices"
	"time"

	"tstun"
	"tstun/key"
	"tstun/netstack"
)

// Status is what a tunnel is at a moment. It holds no secret.
type Status struct {
	Name string `json:"name,omitempty"`
	Mode Mode   `json:"mode"` // ModeKernel or ModeUserspace
	// ModeReason says why it is that mode, in words.
	ModeReason string         `json:"modeReason"`
	Started    time.Time      `json:"started"` // when Start was called
	PublicKey  key.Public     `json:"publicKey"`
	Addresses  []netip.Prefix `json:"addresses"`
	MTU        int            `json:"mtu"`        // bytes
	ListenPort uint16         `json:"listenPort"` // UDP
	FwMark     uint32         `json:"fwMark,omitempty"`
	Peers      []PeerStatus   `json:"peers"` // in the Config's order, then those of wg(8)
	Policy     PolicyStatus   `json:"policy,omitzero"`
	Audit      PolicyStatus   `json:"audit,omitzero"` // the second policy, which drops nothing
	Counters   tstun.Counters `json:"counters"`
	// Unaccounted is what passed the Wrapper and is not in Counters.
	Unaccounted Unaccounted `json:"unaccounted"`
	// Netstack is what the network stack counts, in ModeUserspace alone.
	Netstack *netstack.Counters `json:"netstack,omitempty"`
	// Warnings say what the Config asks for and the host does not give.
	Warnings []string `json:"warnings,omitempty"`
}

// PeerStatus is what a peer is at a moment.
type PeerStatus struct {
	// Name is the Config's, or that of the policy's host with an address that
	// the peer alone has.
	Name string `json:"name,omitempty"`
	// ID is what the peer is called in the Wrapper's statistics and shares, as
	// tstun.Peer has it: the same for a public key as long as it is a peer.
	ID         uint64         `json:"id"`
	PublicKey  key.Public     `json:"publicKey"`
	AllowedIPs []netip.Prefix `json:"allowedIPs,omitempty"`
	// Endpoint is where packets to the peer go now, or the zero value.
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`
	// ConfiguredEndpoint is what the Config says, a name or an address.
	ConfiguredEndpoint string `json:"configuredEndpoint,omitempty"`
	// PresharedKey: there is one.
	PresharedKey bool   `json:"presharedKey,omitempty"`
	Keepalive    uint16 `json:"keepalive,omitempty"` // seconds
	Required     bool   `json:"required,omitempty"`
	// Handshake is when the latest was, or the zero value.
	Handshake time.Time `json:"handshake,omitzero"`
	// Up: there was a handshake within the last 180 s, after which keys are
	// not used any more (WireGuard paper §6.1).
	Up bool `json:"up"`
	// Received and Sent are bytes of WireGuard's messages.
	Received uint64 `json:"received"`
	Sent     uint64 `json:"sent"`
}

// Status returns a snapshot, which the caller owns. After Close there are no
// ListenPort and nothing of peers that only WireGuard knows.
func (t *Tunnel) Status() Status {
	l := t.now()
	s := Status{
		Name: l.Name, Mode: t.mode, ModeReason: t.reason, Started: t.started, PublicKey: l.PrivateKey.Public(),
		Addresses: slices.Clone(l.Addresses), MTU: l.mtu,
		Warnings: slices.Concat(l.warnings, l.unfollowed, t.warnings),
	}
	s.Counters, s.Unaccounted = t.wrapper.books()
	if t.stack != nil {
		c := t.stack.Counters()
		s.Netstack = &c
	}
	t.policyMu.Lock()
	s.Policy = t.policyStatus
	t.policyMu.Unlock()
	s.Audit = t.auditStatus()
	now := time.Now()
	wg, _ := stateOf(t.wg) // fails only where it cannot write to memory
	s.ListenPort, s.FwMark = wg.port, wg.mark
	for i := range l.Peers {
		s.Peers = append(s.Peers, t.peerStatus(l, &l.Peers[i], wg.peers[l.Peers[i].PublicKey], now))
	}
	return s
}

func (t *Tunnel) peerStatus(l *live, p *Peer, is peerState, now time.Time) PeerStatus {
	return PeerStatus{
		Name: t.nameOf(p), ID: l.ids[p.PublicKey], PublicKey: p.PublicKey, AllowedIPs: slices.Clone(p.AllowedIPs),
		Endpoint: is.endpoint, ConfiguredEndpoint: p.Endpoint,
		PresharedKey: !p.PresharedKey.IsZero(), Keepalive: p.Keepalive, Required: p.Required,
		Handshake: is.handshake, Up: is.isUp(now), Received: is.received, Sent: is.sent,
	}
}
