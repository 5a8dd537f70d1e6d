package tunnel

import (
	"fmt"
	"strings"
	"time"
)

// tellChanged tells of peers that came and went, of routes and of DNS, once next is in
// the place of old.
func (t *Tunnel) tellChanged(old, next *live) {
	now := time.Now()
	for i := range old.Peers {
		p := &old.Peers[i]
		if next.peer(p.PublicKey) == nil {
			t.emit(Event{Kind: PeerRemoved, Time: now, Peer: p.PublicKey, PeerName: t.nameOf(p)})
			t.tellRoutes(now, p, p, &Peer{})
		}
	}
	for i := range next.Peers {
		p := &next.Peers[i]
		was := old.peer(p.PublicKey)
		if was == nil {
			was = &Peer{}
			t.emit(Event{Kind: PeerAdded, Time: now, Peer: p.PublicKey, PeerName: t.nameOf(p)})
		}
		t.tellRoutes(now, p, was, p)
	}
	if old.Table != next.Table {
		t.emit(Event{Kind: RoutesChanged, Time: now, Text: fmt.Sprintf("the host's routes: Table is %v, was %v", next.Table, old.Table)})
	}
	t.tellDNS(now, old, next)
}

// tellRoutes tells which allowed IPs the peer p has, or has had, that changed.
func (t *Tunnel) tellRoutes(now time.Time, p, was, is *Peer) {
	gone, come := differences(was.AllowedIPs, is.AllowedIPs)
	if len(gone)+len(come) > 0 {
		t.emit(Event{Kind: RoutesChanged, Time: now, Peer: p.PublicKey, PeerName: t.nameOf(p), Added: texts(come), Removed: texts(gone)})
	}
}

// tellDNS tells which name servers and search domains changed, and what of them the host
// did not follow.
func (t *Tunnel) tellDNS(now time.Time, old, next *live) {
	gone, come := differences(old.nameServers(), next.nameServers())
	if len(gone)+len(come) > 0 {
		t.emit(Event{Kind: DNSChanged, Time: now, Added: come, Removed: gone, Text: strings.Join(next.dnsTexts, "; ")})
	}
}

// nameServers returns the DNS servers, then the search domains.
func (c *Config) nameServers() []string { return append(texts(c.DNS), c.SearchDomains...) }

// texts returns the texts of values, or nil without any.
func texts[T fmt.Stringer](values []T) (all []string) {
	for _, v := range values {
		all = append(all, v.String())
	}
	return all
}
