package tunnel

import (
	"fmt"
	"net/netip"
	"slices"

	"tstun/tunnel/internal/hostnet"
)

// route says whether what the host sends to the other side goes into the tunnel. Of a
// flow that a peer begins, that is the answers.
func (q *question) route() Check {
	if q.t.host == nil {
		return good(StepRoute, "all that the program sends by the tunnel's network goes into it")
	}
	way, err := q.t.host.WayTo(q.own, q.other)
	what := "packets"
	if q.in {
		what = "answers"
	}
	c := Check{Step: StepRoute, Code: "no-route"}
	switch {
	case err != nil:
		c.Text, c.Evidence = fmt.Sprintf("the host has no route for %s to %v", what, q.other), err.Error()
	case way.Inside:
		return good(StepRoute, "the host sends %s to %v by %s", what, q.other, way.Interface)
	case way.Local:
		c.Code, c.Text = "own-address", fmt.Sprintf("%v is this host's own: %s to it do not leave the host", q.other, what)
		c.Advice = "take the address away from this host, or ask about another one"
		return c
	default:
		c.Code = "other-route"
		c.Text = fmt.Sprintf("the host sends %s to %v by %s, and not into the tunnel", what, q.other, way.Interface)
	}
	c.Advice = q.routeAdvice(way)
	return c
}

// routeAdvice is the next step if the other side is not routed into the tunnel.
func (q *question) routeAdvice(way hostnet.Way) string {
	switch {
	case q.peer == nil:
		return fmt.Sprintf("add %v to the AllowedIPs of the peer that it is behind, which makes the route", q.other)
	case q.l.Table != TableAuto:
		return fmt.Sprintf("Table is %v: add a route yourself, ip route add %v dev %s, or leave Table out", q.l.Table, q.other, q.l.Name)
	case way.Interface != "":
		return fmt.Sprintf("a route of another program's is more specific or comes first: ip route get %v shows it; remove it, or tstun up anew", q.other)
	}
	return fmt.Sprintf("another program removed the route: ip route add %v dev %s, or tstun up anew", q.other, q.l.Name)
}

// whose says which peer has the other side's address.
func (q *question) whose() Check {
	if q.peer == nil {
		c := Check{
			Step: StepPeer, Code: "no-peer", Text: fmt.Sprintf("no peer has %v in its AllowedIPs, so that it is sent to nobody", q.other),
			Advice: "add it to the AllowedIPs of the peer that it is behind",
		}
		if q.in {
			c.Text = fmt.Sprintf("no peer has %v in its AllowedIPs: WireGuard drops what comes from it", q.other)
			c.Evidence = q.t.heard.evidence("disallowed-source")
		}
		return c
	}
	i := slices.IndexFunc(q.peer.AllowedIPs, func(p netip.Prefix) bool { return p.Contains(q.other) })
	return good(StepPeer, "%s has %v in its AllowedIPs", q.t.called(q.peer), q.peer.AllowedIPs[i])
}
