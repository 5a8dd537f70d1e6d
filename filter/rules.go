package filter

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"tstun/ipproto"
)

const noRule = -1

// protoSet is a set of protocol numbers.
type protoSet [4]uint64

func (s *protoSet) add(p ipproto.Proto)      { s[p>>6] |= 1 << (p & 63) }
func (s *protoSet) has(p ipproto.Proto) bool { return s[p>>6]&(1<<(p&63)) != 0 }

// all yields the members in ascending order.
func (s *protoSet) all() iter.Seq[ipproto.Proto] {
	return func(yield func(ipproto.Proto) bool) {
		for i := range 256 {
			if p := ipproto.Proto(i); s.has(p) && !yield(p) {
				return
			}
		}
	}
}

// scan is the list of rules, in the order of Config.Matches. A linear search tells
// which rule allows a flow; the index tells only whether one does.
type scan []Match

// match returns the number of the first rule that allows src to open a flow of proto
// to dst and port, or noRule. port does not count for protocols without ports.
func (s scan) match(proto ipproto.Proto, src, dst netip.Addr, port uint16) int {
	for i := range s {
		m := &s[i]
		if slices.Contains(m.protocols(), proto) && m.hasSrc(src) && m.hasDst(proto, dst, port) {
			return i
		}
	}
	return noRule
}

// Numbers of checks that a scan makes in the time of two look-ups of the index: in
// tables of hosts, and in tries of wider prefixes.
const (
	checksHosts = 6
	checksNets4 = 12
	checksNets6 = 20
)

// isShort reports whether a scan takes no longer than the index.
func (s scan) isShort() bool {
	checks, may := 0, checksHosts
	for i := range s {
		m := &s[i]
		if checks += len(m.Srcs) + len(m.Dsts) + len(m.IPProto); checks > checksNets6 {
			return false
		}
		for _, p := range m.Srcs {
			may = max(may, checksFor(p))
		}
		for _, d := range m.Dsts {
			may = max(may, checksFor(d.Net))
		}
	}
	return len(s) > 0 && checks <= may
}

// checksFor returns how many checks take as long as two look-ups where p is.
func checksFor(p netip.Prefix) int {
	switch {
	case p.IsSingleIP():
		return checksHosts
	case p.Addr().Is4():
		return checksNets4
	}
	return checksNets6
}

func (m *Match) hasSrc(src netip.Addr) bool {
	for _, net := range m.Srcs {
		if net.Contains(src) {
			return true
		}
	}
	return false
}

func (m *Match) hasDst(proto ipproto.Proto, dst netip.Addr, port uint16) bool {
	for _, d := range m.Dsts {
		if d.Net.Contains(dst) && (!proto.HasPorts() || d.Ports.contains(port)) {
			return true
		}
	}
	return false
}

// copyRules checks and copies the rules. It makes few allocations, since there may be a
// million rules.
func copyRules(matches []Match) (scan, error) {
	var protos, srcs, dsts int
	for i := range matches {
		if err := matches[i].check(); err != nil {
			return nil, fmt.Errorf("filter: rule %d: %w", i, err)
		}
		protos += len(matches[i].IPProto)
		srcs += len(matches[i].Srcs)
		dsts += len(matches[i].Dsts)
	}
	s := make(scan, len(matches))
	allProtos := make([]ipproto.Proto, 0, protos)
	allSrcs := make([]netip.Prefix, 0, srcs)
	allDsts := make([]NetPortRange, 0, dsts)
	for i, m := range matches {
		s[i] = Match{
			IPProto: appendPart(&allProtos, m.IPProto),
			Srcs:    appendPart(&allSrcs, m.Srcs),
			Dsts:    appendPart(&allDsts, m.Dsts),
		}
	}
	return s, nil
}

// appendPart appends part to all, which has the capacity, and returns the copy.
func appendPart[T any](all *[]T, part []T) []T {
	at := len(*all)
	*all = append(*all, part...)
	return slices.Clip((*all)[at:])
}

var defaultProtocols = []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4, ipproto.ICMPv6}

// protocols returns the protocols that m allows.
func (m *Match) protocols() []ipproto.Proto {
	if len(m.IPProto) == 0 {
		return defaultProtocols
	}
	return m.IPProto
}

// protoSet returns the protocols that m allows as a set.
func (m *Match) protoSet() (s protoSet) {
	for _, p := range m.protocols() {
		s.add(p)
	}
	return s
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
	switch d.Ports {
	case AllPorts:
		return nil
	case PortRange{}:
		for _, p := range m.protocols() {
			if p.HasPorts() {
				return fmt.Errorf("no Ports, and %v has ports: set them, or AllPorts", p)
			}
		}
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
	case p != p.Masked():
		return fmt.Errorf("%v has bits behind its length: name %v or %v", p, p.Masked(), hostPrefix(p.Addr()))
	}
	return nil
}

// hostPrefix returns the prefix that contains a alone.
func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
