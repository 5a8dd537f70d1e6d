package policy

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"slices"

	"tstun/filter"
	"tstun/ipproto"
)

// Flow is a new inbound flow. The port of Dst is 0 for protocols without
// ports.
type Flow struct {
	Proto ipproto.Proto  `json:"proto"`
	Src   netip.Addr     `json:"src"`
	Dst   netip.AddrPort `json:"dst"`
}

// String returns a form such as "tcp from 100.64.0.1 to 100.64.0.2:80".
func (f Flow) String() string {
	return fmt.Sprintf("%v from %v to %s", f.Proto, f.Src, f.target())
}

// target is the destination, with the port if the protocol has ports.
func (f Flow) target() string {
	if f.Proto.HasPorts() {
		return f.Dst.String()
	}
	return f.Dst.Addr().String()
}

// compare orders flows by IP version, source, destination and protocol.
func (f Flow) compare(g Flow) int {
	return cmp.Or(f.Src.Compare(g.Src), f.Dst.Compare(g.Dst), int(f.Proto)-int(g.Proto))
}

// flows are those of the protocols from all sources to all destinations of the
// same IP version, each once.
type flows struct {
	versions [2]versionFlows // IPv4, IPv6
}

// versionFlows are flows of one IP version. The lists are normal.
type versionFlows struct {
	protos          []ipproto.Proto
	src, dst, ports []span
}

func newFlows(protos []ipproto.Proto, srcs, dsts []netip.Prefix, ports []filter.PortRange) (f flows) {
	for _, p := range protos {
		for i, has := range versionsOf([]ipproto.Proto{p}) {
			if has {
				f.versions[i].protos = append(f.versions[i].protos, p)
			}
		}
	}
	for i := range f.versions {
		v, sp := &f.versions[i], space{version: i}
		v.src, v.dst, v.ports = sp.spans(srcs), sp.spans(dsts), portSpans(ports)
	}
	return f
}

// all yields the flows, in the order of Flow.compare but for protocols, which
// are in their own.
func (f flows) all() iter.Seq[Flow] {
	return func(yield func(Flow) bool) {
		for i, v := range f.versions {
			for src := range points(v.src) {
				for dst := range points(v.dst) {
					if !v.between(src.addr(i), dst.addr(i), yield) {
						return
					}
				}
			}
		}
	}
}

// between yields the flows from src to dst, and reports whether to go on.
func (v versionFlows) between(src, dst netip.Addr, yield func(Flow) bool) bool {
	for _, proto := range v.protos {
		for port := range points(portsOf(proto, v.ports)) {
			if !yield(Flow{proto, src, netip.AddrPortFrom(dst, uint16(port.lo))}) {
				return false
			}
		}
	}
	return true
}

// portsOf returns ports, or just 0 for a protocol without.
func portsOf(proto ipproto.Proto, ports []span) []span {
	if !proto.HasPorts() {
		return []span{{}}
	}
	return ports
}

// points yields the points in spans.
func points(spans []span) iter.Seq[point] {
	return func(yield func(point) bool) {
		for _, s := range spans {
			for p := s.first; ; p = p.next() {
				if !yield(p) {
					return
				}
				if p == s.last {
					break
				}
			}
		}
	}
}

// count returns the number of flows, at most math.MaxUint64.
func (f flows) count() (n uint64) {
	for _, v := range f.versions {
		n = plus(n, times(times(size(v.src), size(v.dst)), v.countServices()))
	}
	return n
}

// countServices returns the number of protocols with their ports.
func (v versionFlows) countServices() (n uint64) {
	for _, p := range v.protos {
		n = plus(n, size(portsOf(p, v.ports)))
	}
	return n
}

var errNoFlow = errors.New("stands for no flow: want a source, a destination and a protocol of one IP version")

// maxListed bounds the flows that Policy.Flows returns.
const maxListed = 1 << 16

// Flows returns the flows that src, dst and proto stand for as in a test, in
// the order of their addresses. No proto is tcp. More than 65536 are an error.
func (p *Policy) Flows(src, dst, proto string) ([]Flow, error) {
	if proto == "" {
		proto = "tcp"
	}
	protos, err := parseProto(proto)
	if err != nil {
		return nil, fmt.Errorf("protocol %q: %w", proto, err)
	}
	srcs, err := p.names.lookUp(src)
	if err != nil {
		return nil, fmt.Errorf("source %q: %w", src, err)
	}
	t, err := parseTarget(dst, p.names, protos)
	if err != nil {
		return nil, fmt.Errorf("destination %q: %w", dst, err)
	}
	f := newFlows(protos, srcs, t.nets, t.ports)
	switch n := f.count(); {
	case n == 0:
		err = errNoFlow
	case n > maxListed:
		err = fmt.Errorf("stands for more than %d flows: want fewer addresses or ports", maxListed)
	default:
		return slices.Collect(f.all()), nil
	}
	return nil, fmt.Errorf("%v from %v to %v: %w", proto, src, dst, err)
}

// inWordsMore says how many flows there are beside one, or nothing if there are
// none.
func inWordsMore(n uint64) string {
	switch {
	case n == 0:
		return ""
	case n == 1:
		return " (and 1 more flow)"
	case n == math.MaxUint64:
		return " (and more than 10^19 more flows)"
	}
	return fmt.Sprintf(" (and %d more flows)", n)
}
