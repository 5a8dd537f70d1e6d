package tunnel

import (
	"fmt"
	"net/netip"
	"slices"

	"tstun/ipproto"
)

// program says whether a program takes what a peer begins towards the host, or nothing
// where that is not known: the destination is not the host's own, the protocol has no
// ports, or the kernel does not tell.
func (q *question) program() []Check {
	network := map[ipproto.Proto]string{ipproto.TCP: "tcp", ipproto.UDP: "udp"}[q.Proto]
	if !q.in || network == "" {
		return nil
	}
	if q.t.stack != nil {
		return q.stackProgram(network)
	}
	way, err := q.t.host.WayTo(netip.Addr{}, q.own)
	if err != nil || !way.Local {
		return nil
	}
	at, err := q.t.host.Listeners(network, q.Dst.Port())
	if err != nil {
		return nil
	}
	for _, a := range at {
		if a == q.own || a.IsUnspecified() && a.Is4() == q.own.Is4() {
			return []Check{q.listens(network)}
		}
	}
	c := q.nobodyListens(network)
	if len(at) > 0 {
		c.Evidence = fmt.Sprintf("programs listen at %s alone", listed(slices.Compact(at)))
		c.Advice = fmt.Sprintf("have the program listen at %v, or at all addresses", q.own)
	}
	return []Check{c}
}

// stackProgram is program of a tunnel in userspace.
func (q *question) stackProgram(network string) []Check {
	switch {
	case !slices.Contains(q.l.addrs(), q.own):
		return nil
	case q.t.stack.Listens(q.Proto, q.Dst):
		return []Check{q.listens(network)}
	}
	c := q.nobodyListens(network)
	c.Advice = fmt.Sprintf("have a program listen there, as with tstun up --expose %s:%d=127.0.0.1:%[2]d", network, q.Dst.Port())
	return []Check{c}
}

func (q *question) listens(network string) Check {
	return good(StepProgram, "a program listens at %s %v", network, q.Dst)
}

func (q *question) nobodyListens(network string) Check {
	return Check{
		Step: StepProgram, Code: "nobody-listens", Text: fmt.Sprintf("no program listens at %s %v", network, q.Dst),
		Advice: "start the program; if the host redirects the port to another one, look there",
	}
}
