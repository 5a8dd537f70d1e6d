package tunnel

import (
	"fmt"
	"net"
	"net/netip"

	"tstun/tundev"
)

// markFindings tells if the tunnel's own packets lack the mark by which rules
// keep them out of the tunnel.
func (t *Tunnel) markFindings(s *Status) []tundev.Finding {
	if t.host == nil {
		return nil
	}
	want, err := t.host.Mark(t.now().host())
	if err != nil || want == s.FwMark {
		return nil
	}
	return []tundev.Finding{{
		Code: "fwmark", Cause: "the tunnel's own packets do not bear the mark that keeps them out of the tunnel",
		Advice:   fmt.Sprintf("wg set %s fwmark %#x", s.Name, want),
		Evidence: fmt.Sprintf("the rules are made for mark %#x, and WireGuard has %#x", want, s.FwMark),
	}}
}

// overlapFindings tells, in kernel mode, of allowed IPs that are in the network
// of another interface as well.
func (t *Tunnel) overlapFindings(s *Status) (found []tundev.Finding) {
	if s.Mode != ModeKernel {
		return nil
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil || i.Name == s.Name || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		for _, a := range addrs {
			if network, err := netip.ParsePrefix(a.String()); err == nil {
				found = append(found, overlaps(s, i.Name, network.Masked())...)
			}
		}
	}
	return found
}

// overlaps compares all allowed IPs with a network. Default routes and their
// halves are meant to hold others.
func overlaps(s *Status, ifname string, network netip.Prefix) (found []tundev.Finding) {
	for i := range s.Peers {
		for _, allowed := range s.Peers[i].AllowedIPs {
			if allowed.Bits() <= 1 || !allowed.Overlaps(network) || network.Addr().IsLinkLocalUnicast() {
				continue
			}
			effect := "the part that is in both is reached through " + ifname + " and not through the tunnel"
			if allowed.Bits() >= network.Bits() {
				effect = "hosts of " + ifname + " with these addresses are not reached any more, or the peer is not"
			}
			found = append(found, tundev.Finding{
				Code: "allowed-ips-overlap", Cause: fmt.Sprintf("AllowedIPs and the network of %s overlap: %s", ifname, effect),
				Advice: "use other addresses in the tunnel, or leave these out of AllowedIPs", Evidence: fmt.Sprintf("%v is allowed, and %s is in %v", allowed, ifname, network),
			})
		}
	}
	return found
}
