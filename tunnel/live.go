package tunnel

import (
	"net/netip"
	"slices"

	"tstun"
	"tstun/key"
	"tstun/netstack"
	"tstun/tunnel/internal/hostnet"
)

// live is what is in force. It never changes once it is stored: another takes
// its place.
type live struct {
	Config                           // as it was given, with what wg(8) changed since
	at         endpoints             // where the Endpoints are
	ids        map[key.Public]uint64 // of the peers, for the Wrapper
	mtu        int                   // bytes
	dns        netstack.Lookup       // for DialContext
	warnings   []string              // of the host's network
	dnsTexts   []string              // those of them that are about DNS
	unfollowed []string              // what wg(8) changed and the rest of the tunnel did not follow
}

// now returns what is in force.
func (t *Tunnel) now() *live { return t.live.Load() }

// update changes what is in force. Start alone, or who holds changing, may do so.
func (t *Tunnel) update(change func(*live)) {
	l := *t.now()
	change(&l)
	t.live.Store(&l)
}

// peer returns the peer with a key, or nil.
func (c *Config) peer(k key.Public) *Peer {
	for i := range c.Peers {
		if c.Peers[i].PublicKey == k {
			return &c.Peers[i]
		}
	}
	return nil
}

// numbered returns the IDs of peers: a peer keeps the one that it has, and a new
// one gets one that no peer had. Who calls it holds changing.
func (t *Tunnel) numbered(peers []Peer, has map[key.Public]uint64) map[key.Public]uint64 {
	ids := make(map[key.Public]uint64, len(peers))
	for i := range peers {
		k := peers[i].PublicKey
		if ids[k] = has[k]; ids[k] == 0 {
			t.lastID++
			ids[k] = t.lastID
		}
	}
	return ids
}

// setPeers tells the Wrapper which addresses are whose.
func (t *Tunnel) setPeers(l *live) error {
	peers := make([]tstun.Peer, len(l.Peers))
	for i := range l.Peers {
		peers[i] = tstun.Peer{ID: l.ids[l.Peers[i].PublicKey], Prefixes: l.Peers[i].AllowedIPs, MSSClamp: l.Peers[i].MSSClamp.with(l.mtu)}
	}
	return t.wrapper.SetPeers(peers)
}

// addrs returns the addresses without the lengths of their networks.
func (c *Config) addrs() (addrs []netip.Addr) {
	for _, a := range c.Addresses {
		addrs = append(addrs, a.Addr())
	}
	return addrs
}

// host returns what the host's network shall be.
func (l *live) host() hostnet.Config {
	h := hostnet.Config{
		Addresses: l.Addresses, MTU: l.MTU, Table: hostnet.Table(l.Table), FwMark: l.FwMark,
		DNS: l.DNS, Search: l.SearchDomains,
	}
	for i := range l.Peers {
		h.Routes = append(h.Routes, l.Peers[i].AllowedIPs...)
		if at := l.at[l.Peers[i].PublicKey]; at != (netip.AddrPort{}) {
			h.Endpoints = append(h.Endpoints, at)
		}
	}
	return h
}

// nameOf returns what the peer is called: its own name, or that of the policy's
// host with an address that is allowed to it alone, or nothing.
func (t *Tunnel) nameOf(p *Peer) string {
	hosts := t.hosts.Load()
	if p.Name != "" || hosts == nil {
		return p.Name
	}
	i := slices.IndexFunc(p.AllowedIPs, func(a netip.Prefix) bool { return a.IsSingleIP() && (*hosts)[a.Addr()] != "" })
	if i < 0 {
		return ""
	}
	return (*hosts)[p.AllowedIPs[i].Addr()]
}

// called returns the peer's name, or its public key if it has none.
func (t *Tunnel) called(p *Peer) string {
	if name := t.nameOf(p); name != "" {
		return name
	}
	return p.PublicKey.String()
}
