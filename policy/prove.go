package policy

import (
	"net/netip"

	"tstun/ipproto"
)

// prover computes on a policy's rules what becomes of the flows of tests.
type prover struct {
	policy *Policy
	rules  *[2][]*rule // by IP version, made when they are first needed
}

// Sides of a test.
const (
	inTest side = 1 << iota
	allowed
)

// prove returns the flows that are not as t wants them.
func (p *prover) prove(t expectation) (bad failing, err error) {
	if p.rules == nil {
		p.rules = new([2][]*rule)
		for i, s := range p.policy.scopes() {
			p.rules[i] = s.rules(p.policy.matches)
			for _, r := range p.rules[i] {
				r.side = allowed
			}
		}
	}
	w := maxWork
	for i, v := range t.flows.versions {
		if len(v.src) == 0 || len(v.dst) == 0 || len(v.protos) == 0 {
			continue
		}
		c := counter{version: i, work: &w, wrong: inTest, bad: &bad}
		if !t.accept {
			c.wrong = inTest | allowed
		}
		all := []*rule{{side: inTest, protos: protoSpans(v.protos), src: v.src, parts: []part{{v.dst, v.ports}}}}
		for _, r := range p.rules[i] {
			if !w.take(1) {
				return bad, ErrTooLarge
			}
			if in, ok := r.within(v.src, v.dst); ok {
				if !w.take(in.steps()) {
					return bad, ErrTooLarge
				}
				all = append(all, in)
			}
		}
		if err := walk(all, &w, &c); err != nil {
			return bad, err
		}
	}
	return bad, nil
}

// counter counts the flows of a test that are on the wrong side. It is a
// visitor of the test's flows and of the rules.
type counter struct {
	version int
	work    *work
	wrong   side
	bad     *failing
	src     []span
}

// skip reports whether no clause is the test's.
func (c *counter) skip(here []clause) bool {
	for _, cl := range here {
		if cl.side == inTest {
			return false
		}
	}
	return true
}

func (c *counter) sources(src []span) bool {
	c.src = src
	return true
}

func (c *counter) cell(dst []span, here []clause) error {
	s, err := servicesOf(here, c.work)
	if err != nil {
		return err
	}
	s.bySide(here, func(is side, protos, ports []span) {
		if is != c.wrong {
			return
		}
		proto := ipproto.Proto(protos[0].first.lo)
		ports = portsOf(proto, ports)
		first := Flow{
			Proto: proto,
			Src:   c.src[0].first.addr(c.version),
			Dst:   netip.AddrPortFrom(dst[0].first.addr(c.version), uint16(ports[0].first.lo)),
		}
		n := times(times(size(c.src), size(dst)), times(size(protos), size(ports)))
		c.bad.add(first, n)
	})
	return nil
}
