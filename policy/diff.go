package policy

import (
	"encoding/binary"
	"slices"

	"tstun/filter"
	"tstun/ipproto"
)

// Diff returns which new inbound flows become allowed or denied when the rules
// and local addresses of next replace those of old. It computes this on the
// rules, for all addresses, ports and protocols: a flow between addresses that
// a filter can let through is in one Change if its verdict differs, and in none
// otherwise. Addresses that no filter lets through unless its Config.Permit
// says so, such as loopback, are left out where they make no Change of their
// own. The order is: what becomes allowed first, then by address.
//
// The error is ErrTooLarge, or nil.
func Diff(old, next *Policy) ([]Change, error) {
	w := maxWork
	var versions [2][]Change
	for v := range versions {
		d := differ{version: v, work: &w, intern: make(map[string]int)}
		if err := d.compare(d.rules(old, next)); err != nil {
			return nil, err
		}
		boxes, err := d.merged()
		if err != nil {
			return nil, err
		}
		for _, b := range boxes {
			versions[v] = append(versions[v], d.change(b))
		}
	}
	changes := joinVersions(versions[0], versions[1])
	slices.SortFunc(changes, Change.compare)
	return changes, nil
}

// side is in which of the two policies something is: a bit for each.
type side uint8

const (
	inOld side = 1 << iota
	inNew
	inBoth = inOld | inNew
)

// rule is a rule of either policy, or both, in one IP version.
type rule struct {
	side   side
	protos []span
	src    []span
	parts  []part
}

// part is the destinations of a rule that have the same ports.
type part struct {
	dst, ports []span
}

// differ compares two policies in one IP version.
type differ struct {
	version int
	work    *work
	lists   [][]span       // normal, each once
	intern  map[string]int // their index, by their bytes
	boxes   []box
}

// rules returns the rules of both policies that can bear on a difference: those
// that are in one of them only, and those that overlap with these.
func (d *differ) rules(old, next *Policy) []*rule {
	known := make(map[string]*rule)
	var all []*rule
	for i, p := range []*Policy{old, next} {
		local := d.spans(p.local)
		for _, m := range p.matches {
			r, ok := d.newRule(m, local)
			if !ok {
				continue
			}
			key := r.key()
			if known[key] == nil {
				known[key] = r
				all = append(all, r)
			}
			known[key].side |= side(1 << i)
		}
	}
	var src, dst []span
	for _, r := range all {
		if r.side != inBoth {
			src = append(src, r.src...)
			for _, p := range r.parts {
				dst = append(dst, p.dst...)
			}
		}
	}
	src, dst = normal(src), normal(dst)
	return slices.DeleteFunc(all, func(r *rule) bool {
		overlapsDst := slices.ContainsFunc(r.parts, func(p part) bool { return overlap(p.dst, dst) })
		return !overlapsDst || !overlap(r.src, src)
	})
}

// overlap reports whether any of some is in all. Both are normal.
func overlap(some, all []span) bool {
	for _, s := range some {
		i, _ := slices.BinarySearchFunc(all, s.first, func(a span, p point) int { return a.last.compare(p) })
		if i < len(all) && all[i].first.compare(s.last) <= 0 {
			return true
		}
	}
	return false
}

// newRule returns what m allows in d's IP version, to local addresses. ok is
// false if that is nothing.
func (d *differ) newRule(m filter.Match, local []span) (r *rule, ok bool) {
	r = &rule{src: d.spans(m.Srcs)}
	protos := m.IPProto
	if len(protos) == 0 {
		protos = defaultProtocols
	}
	for _, p := range protos {
		at := point{lo: uint64(p)}
		r.protos = append(r.protos, span{at, at})
	}
	r.protos = normal(r.protos)
	r.parts = d.parts(m.Dsts, local)
	return r, len(r.src) > 0 && len(r.parts) > 0
}

// parts gathers destinations with the same ports, and ports with the same
// destinations.
func (d *differ) parts(dsts []filter.NetPortRange, local []span) []part {
	byPorts := newGroups[filter.PortRange]()
	for _, to := range dsts {
		if version(to.Net) == d.version {
			byPorts.add(to.Ports, spanOf(to.Net))
		}
	}
	byDst := newGroups[string]()
	dst := make(map[string][]span)
	for ports, spans := range byPorts.all() {
		if spans = intersection(normal(spans), local); len(spans) > 0 {
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

// key is the same for rules that say the same in the same order.
func (r *rule) key() string {
	b := appendSpans(appendSpans(nil, r.protos), r.src)
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

// withPorts are the protocols that have ports.
var withPorts = func() (spans []span) {
	for i := range 256 {
		if ipproto.Proto(i).HasPorts() {
			at := point{lo: uint64(i)}
			spans = append(spans, span{at, at})
		}
	}
	return normal(spans)
}()
