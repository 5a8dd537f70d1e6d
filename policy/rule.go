package policy

import (
	"encoding/binary"
	"net/netip"

	"tstun/filter"
	"tstun/ipproto"
)

// field of addresses in which rules are looked at: those that get as far as the
// rules, or more.
type scope struct {
	space
	localSpans       []span
	noSrcs, noDsts   []span // are left out of rules
	dropSrc, dropDst []span // are dropped before the rules
}

// newScope returns the scope of what a policy lets get as far as the rules.
func newScope(version int, permit filter.Permit, local []netip.Prefix) scope {
	sp := space{version, permit}
	s := scope{space: sp, localSpans: sp.local(local), dropSrc: sp.blocked(asSrc), dropDst: sp.blocked(asDst)}
	s.noSrcs, s.noDsts = s.dropSrc, s.dropDst
	return s
}

// scopes returns the policy's scopes, by IP version.
func (p *Policy) scopes() [2]scope {
	return [2]scope{newScope(0, p.permit, p.local), newScope(1, p.permit, p.local)}
}

// rules returns what the policy's rules allow in the scope. Those that allow
// nothing there are left out.
func (s scope) rules(matches []filter.Match) []*rule {
	var all []*rule
	for i, m := range matches {
		if r, ok := s.rule(m); ok {
			r.number = i
			all = append(all, r)
		}
	}
	return all
}

// rule returns what m allows in the scope. ok is false if that is nothing.
func (s scope) rule(m filter.Match) (r *rule, ok bool) {
	protos := m.IPProto
	if len(protos) == 0 {
		protos = defaultProtocols
	}
	r = &rule{protos: protoSpans(protos), src: difference(s.spans(m.Srcs), s.noSrcs), parts: s.parts(m.Dsts)}
	return r, len(r.src) > 0 && len(r.parts) > 0
}

// parts gathers destinations with the same ports, and ports with the same
// destinations.
func (s scope) parts(dsts []filter.NetPortRange) []part {
	byPorts := newGroups[filter.PortRange, netip.Prefix]()
	for _, to := range dsts {
		byPorts.add(to.Ports, to.Net)
	}
	byDst := newGroups[string, span]()
	dst := make(map[string][]span)
	for ports, nets := range byPorts.all() {
		spans := difference(intersection(s.spans(nets), s.localSpans), s.noDsts)
		if len(spans) > 0 {
			key := string(appendSpans(nil, spans))
			dst[key] = spans
			byDst.add(key, portSpan(ports))
		}
	}
	var parts []part
	for key, ports := range byDst.all() {
		parts = append(parts, part{dst[key], normal(ports)})
	}
	return parts
}

// within returns what r allows of the flows from src to dst. ok is false if
// that is nothing.
func (r *rule) within(src, dst []span) (in *rule, ok bool) {
	if !overlap(r.src, src) {
		return nil, false
	}
	in = &rule{side: r.side, number: r.number, protos: r.protos, src: intersection(r.src, src)}
	for _, p := range r.parts {
		if both := intersection(p.dst, dst); len(both) > 0 {
			in.parts = append(in.parts, part{both, p.ports})
		}
	}
	return in, len(in.parts) > 0
}

// steps returns how much there is of r.
func (r *rule) steps() int {
	n := 1 + len(r.protos) + len(r.src)
	for _, p := range r.parts {
		n += 1 + len(p.dst) + len(p.ports)
	}
	return n
}

// key is the same for rules that say the same in the same order.
func (r *rule) key() string {
	b := appendSpans(appendSpans(make([]byte, 0, 40*r.steps()), r.protos), r.src)
	for _, p := range r.parts {
		b = appendSpans(appendSpans(b, p.dst), p.ports)
	}
	return string(b)
}

func appendSpans(b []byte, spans []span) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(spans)))
	for _, s := range spans {
		for _, n := range []uint64{s.first.hi, s.first.lo, s.last.hi, s.last.lo} {
			b = binary.BigEndian.AppendUint64(b, n)
		}
	}
	return b
}

// defaultProtocols are those of a rule that names none, as for filter.Match.
var defaultProtocols = []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4, ipproto.ICMPv6}
