package tunnel

import (
	"fmt"
	"net/netip"
	"slices"

	"tstun/tunnel/internal/hostnet"
)

// names says whether the host asks for names through the tunnel. It says nothing of
// flows that peers begin, nor where neither DNS nor a default route promises it.
func (q *question) names() []Check {
	full := slices.ContainsFunc(q.l.Peers, func(p Peer) bool {
		return slices.ContainsFunc(p.AllowedIPs, func(a netip.Prefix) bool { return a.Bits() <= 1 })
	})
	if q.in || len(q.l.DNS) == 0 && (!full || q.t.host == nil) {
		return nil
	}
	if q.t.host == nil {
		for _, f := range q.t.nameServerFindings(&Status{Mode: q.t.mode}) {
			return []Check{q.wrong(StepDNS, f)}
		}
		return []Check{good(StepDNS, "names are asked of %s, through the tunnel", listed(q.l.DNS))}
	}
	return []Check{q.hostNames()}
}

// hostNames says whom the host asks for names, and by which way.
func (q *question) hostNames() Check {
	if len(q.l.dnsTexts) > 0 {
		return Check{
			Step: StepDNS, Code: "warning", Text: q.l.dnsTexts[0], Evidence: "the host, when the tunnel was set up",
			Advice: "do what the warning says, or leave DNS out",
		}
	}
	servers := q.l.DNS
	if len(servers) == 0 {
		for _, s := range hostnet.Nameservers() {
			servers = append(servers, s.Addr())
		}
	}
	for _, s := range servers {
		way, err := q.t.host.WayTo(netip.Addr{}, s)
		switch {
		case err == nil && way.Local:
			return good(StepDNS, "names are asked of %v on this host itself; whom that asks is not known", s)
		case err == nil && way.Inside:
			continue
		}
		c := Check{Step: StepDNS, Code: "dns-outside", Text: fmt.Sprintf("the host asks %v for names, and not through the tunnel", s), Evidence: "it is sent by " + way.Interface}
		if err != nil {
			c.Evidence = err.Error()
		}
		c.Advice = "give DNS in [Interface]: a server that is behind a peer's AllowedIPs"
		return c
	}
	return good(StepDNS, "names are asked of %s, through the tunnel", listed(servers))
}
