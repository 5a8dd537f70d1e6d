package tunnel

import (
	"fmt"
	"net/netip"
	"strings"

	"tstun/policy"
)

// maxFlows bounds the flows that FlowsBetween returns.
const maxFlows = 64

// noNames is a policy that has no names, to read addresses and ports by.
const noNames = `{"local": "127.0.0.1", "accept": []}`

// FlowsBetween returns the flows that src, dst and proto stand for, as policy.Policy.Flows
// reads them: addresses, or names of the policy in force and of peers. proto is tcp
// if it is empty. More than 64 flows are an error.
func (t *Tunnel) FlowsBetween(src, dst, proto string) ([]policy.Flow, error) {
	t.policyMu.Lock()
	p := t.policy
	t.policyMu.Unlock()
	if p == nil {
		var err error
		if p, err = policy.Parse("", []byte(noNames)); err != nil {
			return nil, fmt.Errorf("tunnel: %w", err)
		}
	}
	flows, err := p.Flows(src, dst, proto)
	if err != nil {
		s, d := t.peerAddress(src), t.peerAddress(dst)
		if s == src && d == dst {
			return nil, fmt.Errorf("tunnel: %w", err)
		}
		if flows, err = p.Flows(s, d, proto); err != nil {
			return nil, fmt.Errorf("tunnel: %w", err)
		}
	}
	if len(flows) > maxFlows {
		return nil, fmt.Errorf("tunnel: %s to %s stands for %d flows: want at most %d", src, dst, len(flows), maxFlows)
	}
	return flows, nil
}

// peerAddress returns HOST or HOST:PORTS with the address that a peer of that name
// alone has in the place of HOST, or text as it is if there is no such peer.
func (t *Tunnel) peerAddress(text string) string {
	host, ports, hasPorts := strings.Cut(text, ":")
	l := t.now()
	for i := range l.Peers {
		p := &l.Peers[i]
		if p.Name == "" || p.Name != host {
			continue
		}
		for _, a := range p.AllowedIPs {
			switch {
			case !a.IsSingleIP():
			case !hasPorts:
				return a.Addr().String()
			default:
				return bracketed(a.Addr()) + ":" + ports
			}
		}
	}
	return text
}

// bracketed returns an address as it stands before a port.
func bracketed(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// hostName returns what the policy calls an address, or else the peer that alone has
// it, or nothing.
func (t *Tunnel) hostName(a netip.Addr) string {
	if hosts := t.hosts.Load(); hosts != nil && (*hosts)[a] != "" {
		return (*hosts)[a]
	}
	if p := t.now().peerOf(a); p != nil {
		for _, own := range p.AllowedIPs {
			if own.IsSingleIP() && own.Addr() == a {
				return p.Name
			}
		}
	}
	return ""
}
