package policy

import (
	"errors"
	"fmt"
	"iter"
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

// Bounds of the flows that all tests of a file stand for, and of those that
// Policy.Flows returns.
const (
	maxTested = 1 << 22
	maxListed = 1 << 16
)

// flows are those of the protocols from srcs to dsts of the same IP version.
// They may repeat where srcs or dsts overlap.
type flows struct {
	versions [2]versionFlows // IPv4, IPv6
}

// versionFlows are flows of one IP version.
type versionFlows struct {
	protos []ipproto.Proto
	srcs   []netip.Prefix
	dsts   []filter.NetPortRange
}

func newFlows(protos []ipproto.Proto, srcs []netip.Prefix, dsts []filter.NetPortRange) (f flows) {
	for _, p := range protos {
		if p != ipproto.ICMPv6 {
			f.versions[0].protos = append(f.versions[0].protos, p)
		}
		if p != ipproto.ICMPv4 {
			f.versions[1].protos = append(f.versions[1].protos, p)
		}
	}
	for _, p := range srcs {
		v := &f.versions[version(p)]
		v.srcs = append(v.srcs, p)
	}
	for _, d := range dsts {
		v := &f.versions[version(d.Net)]
		v.dsts = append(v.dsts, d)
	}
	return f
}

// all yields the flows.
func (f flows) all() iter.Seq[Flow] {
	return func(yield func(Flow) bool) {
		for _, v := range f.versions {
			for _, srcs := range v.srcs {
				for src := range addresses(srcs) {
					if !v.from(src, yield) {
						return
					}
				}
			}
		}
	}
}

// from yields the flows from src, and reports whether to go on.
func (f versionFlows) from(src netip.Addr, yield func(Flow) bool) bool {
	for _, dsts := range f.dsts {
		for dst := range addresses(dsts.Net) {
			for _, proto := range f.protos {
				ports := portsOf(proto, dsts.Ports)
				for port := int(ports.First); port <= int(ports.Last); port++ {
					if !yield(Flow{proto, src, netip.AddrPortFrom(dst, uint16(port))}) {
						return false
					}
				}
			}
		}
	}
	return true
}

// portsOf returns ports, or just 0 for a protocol without.
func portsOf(proto ipproto.Proto, ports filter.PortRange) filter.PortRange {
	if !proto.HasPorts() {
		return filter.PortRange{}
	}
	return ports
}

// addresses yields the addresses in p.
func addresses(p netip.Prefix) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			if !yield(a) {
				return
			}
		}
	}
}

// count returns the number of flows, or some number above most if that is less.
func (f flows) count(most uint64) uint64 {
	var n uint64
	for _, v := range f.versions {
		var srcs, dsts uint64
		for _, p := range v.srcs {
			srcs = min(srcs+size(p), most+1)
		}
		for _, d := range v.dsts {
			for _, proto := range v.protos {
				ports := portsOf(proto, d.Ports)
				dsts = min(dsts+size(d.Net)*(1+uint64(ports.Last-ports.First)), most+1)
			}
		}
		n += srcs * dsts
	}
	return n
}

// size returns the number of addresses in p, or 1<<32 if that is less.
func size(p netip.Prefix) uint64 { return 1 << min(p.Addr().BitLen()-p.Bits(), 32) }

// check returns why there are no flows, or more than most.
func (f flows) check(most uint64) (n uint64, err error) {
	switch n = f.count(most); {
	case n > most:
		return n, fmt.Errorf("stands for more than %d flows: want fewer addresses or ports", most)
	case n == 0:
		return n, errors.New("stands for no flow: want a source, a destination and a protocol of one IP version")
	}
	return n, nil
}

// Flows returns the flows that src, dst and proto stand for as in a test. No
// proto is tcp. More than 65536 are an error.
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
	f := newFlows(protos, srcs, t.append(nil))
	if _, err := f.check(maxListed); err != nil {
		return nil, fmt.Errorf("%v from %v to %v: %w", proto, src, dst, err)
	}
	return slices.Collect(f.all()), nil
}
