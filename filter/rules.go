package filter

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"tstun/ipproto"
)

// matcher finds a rule that lets a peer open a flow.
type matcher interface {
	// match returns the index of the first rule that allows src to open a
	// flow of proto to dst and port, or noRule. port is not looked at for
	// protocols without ports.
	match(proto ipproto.Proto, src, dst netip.Addr, port uint16) int
}

const noRule = -1

// protoSet is a set of protocol numbers.
type protoSet [4]uint64

func (s *protoSet) add(p ipproto.Proto)      { s[p>>6] |= 1 << (p & 63) }
func (s *protoSet) has(p ipproto.Proto) bool { return s[p>>6]&(1<<(p&63)) != 0 }

// scan is the plain matcher: it looks at one rule after the other.
type scan []scanRule

type scanRule struct {
	Match
	protos protoSet
}

func (s scan) match(proto ipproto.Proto, src, dst netip.Addr, port uint16) int {
	for i := range s {
		r := &s[i]
		if r.protos.has(proto) && r.hasSrc(src) && r.hasDst(proto, dst, port) {
			return i
		}
	}
	return noRule
}

func (r *scanRule) hasSrc(src netip.Addr) bool {
	for _, net := range r.Srcs {
		if net.Contains(src) {
			return true
		}
	}
	return false
}

func (r *scanRule) hasDst(proto ipproto.Proto, dst netip.Addr, port uint16) bool {
	for _, d := range r.Dsts {
		if d.Net.Contains(dst) && (!proto.HasPorts() || d.Ports.contains(port)) {
			return true
		}
	}
	return false
}

// text returns the rules as they were given.
func (s scan) text() []Match {
	ms := make([]Match, len(s))
	for i, r := range s {
		ms[i] = r.Match
	}
	return ms
}

// compile checks the rules and copies them into a matcher.
func compile(matches []Match) (scan, error) {
	s := make(scan, len(matches))
	for i, m := range matches {
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("filter: rule %d: %w", i, err)
		}
		s[i].Match = Match{
			IPProto: slices.Clone(m.IPProto),
			Srcs:    slices.Clone(m.Srcs),
			Dsts:    slices.Clone(m.Dsts),
		}
		for _, p := range m.protocols() {
			s[i].protos.add(p)
		}
	}
	return s, nil
}

var defaultProtocols = []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4, ipproto.ICMPv6}

// protocols returns the protocols that m allows.
func (m *Match) protocols() []ipproto.Proto {
	if len(m.IPProto) == 0 {
		return defaultProtocols
	}
	return m.IPProto
}

func (m *Match) check() error {
	for _, p := range m.IPProto {
		if p == ipproto.Unknown || p == ipproto.Fragment {
			return fmt.Errorf("protocol %v cannot be named by a rule", p)
		}
	}
	if len(m.Srcs) == 0 {
		return errors.New("no Srcs")
	}
	if len(m.Dsts) == 0 {
		return errors.New("no Dsts")
	}
	for i, net := range m.Srcs {
		if err := checkPrefix(net); err != nil {
			return fmt.Errorf("source %d: %w", i, err)
		}
	}
	for i, d := range m.Dsts {
		if err := m.checkDst(d); err != nil {
			return fmt.Errorf("destination %d: %w", i, err)
		}
	}
	if !m.sharesVersion() {
		return errors.New("no source is of the IP version of any destination, so it allows nothing")
	}
	return nil
}

// sharesVersion reports whether there are a source and a destination of one
// IP version.
func (m *Match) sharesVersion() bool {
	for _, src := range m.Srcs {
		for _, dst := range m.Dsts {
			if src.Addr().Is4() == dst.Net.Addr().Is4() {
				return true
			}
		}
	}
	return false
}

func (m *Match) checkDst(d NetPortRange) error {
	if err := checkPrefix(d.Net); err != nil {
		return err
	}
	if d.Ports.First > d.Ports.Last {
		return fmt.Errorf("port range %d-%d is empty", d.Ports.First, d.Ports.Last)
	}
	if d.Ports.First == 0 && d.Ports.Last == 65535 {
		return nil
	}
	for _, p := range m.IPProto {
		if !p.HasPorts() && !p.IsICMP() {
			return fmt.Errorf("ports %v: %v has no ports, so the rule needs AllPorts", d.Ports, p)
		}
	}
	return nil
}

func checkPrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return errors.New("the prefix is not valid")
	case p.Addr().Is4In6():
		return fmt.Errorf("%v maps IPv4 addresses: name the IPv4 prefix instead", p)
	}
	return nil
}
