package policy

import (
	"net/netip"

	"github.com/tailscale/hujson"

	"tstun/filter"
)

// kind is a kind of addresses that a filter drops before it asks the rules,
// unless it is permitted. The kinds are those of filter.Permit.
type kind struct {
	name string // in "permit"
	what string // in notes
	set  func(*filter.Permit)
	in   func(filter.Permit) bool
}

var (
	multicast = &kind{"multicast", "multicast",
		func(p *filter.Permit) { p.Multicast = true }, func(p filter.Permit) bool { return p.Multicast }}
	linkLocal = &kind{"link-local", "link-local",
		func(p *filter.Permit) { p.LinkLocal = true }, func(p filter.Permit) bool { return p.LinkLocal }}
	mapped = &kind{"mapped", "an IPv4 address in IPv6",
		func(p *filter.Permit) { p.Mapped = true }, func(p filter.Permit) bool { return p.Mapped }}
	martian = &kind{"martian", "loopback, unspecified, broadcast or reserved",
		func(p *filter.Permit) { p.Martian = true }, func(p filter.Permit) bool { return p.Martian }}
)

var kinds = []*kind{multicast, linkLocal, mapped, martian}

// side of a flow that an address is on.
const (
	asSrc = iota
	asDst
)

// dropped are the addresses that are dropped unless kind is permitted.
type dropped struct {
	kind *kind
	span
}

func droppedPrefix(k *kind, prefix string) dropped {
	return dropped{k, spanOf(netip.MustParsePrefix(prefix))}
}

// droppedAs are the addresses that are dropped, by IP version and by which
// address of the flow they are. A multicast source is a martian.
var droppedAs = [2][2][]dropped{
	{
		asSrc: append(unicastDropped4, droppedPrefix(martian, "224.0.0.0/4")),
		asDst: append(unicastDropped4, droppedPrefix(multicast, "224.0.0.0/4")),
	},
	{
		asSrc: append(unicastDropped6, droppedPrefix(martian, "ff00::/8")),
		asDst: append(unicastDropped6, droppedPrefix(multicast, "ff00::/8")),
	},
}

var (
	unicastDropped4 = []dropped{
		droppedPrefix(martian, "0.0.0.0/8"), droppedPrefix(martian, "127.0.0.0/8"),
		droppedPrefix(linkLocal, "169.254.0.0/16"), droppedPrefix(martian, "240.0.0.0/4"),
	}[:4:4]
	unicastDropped6 = []dropped{
		droppedPrefix(martian, "::/127"), droppedPrefix(linkLocal, "fe80::/10"),
	}[:2:2]
)

// mappedSpan are the IPv6 addresses that map IPv4 addresses (RFC 4291 §2.5.5.2).
var mappedSpan = spanOf(netip.MustParsePrefix("::ffff:0.0.0.0/96"))

// mapSpan returns the IPv6 addresses that map those of an IPv4 span.
func mapSpan(s span) span {
	return span{point{lo: mappedSpan.first.lo | s.first.lo}, point{lo: mappedSpan.first.lo | s.last.lo}}
}

// space is the addresses of one IP version under what is permitted.
type space struct {
	version int
	permit  filter.Permit
}

// spans returns the addresses in the space that prefixes stand for, as a normal
// list. An IPv6 address that maps an IPv4 address stands for that: the IPv6
// prefixes do not hold it, the IPv4 prefixes do.
func (sp space) spans(prefixes []netip.Prefix) []span {
	var own, foreign []span
	for _, p := range prefixes {
		switch {
		case version(p) == sp.version:
			own = append(own, spanOf(p))
		case sp.version == 1 && sp.permit.Mapped:
			foreign = append(foreign, mapSpan(spanOf(p)))
		}
	}
	own = normal(own)
	if sp.version == 1 && sp.permit.Mapped {
		own = normal(append(difference(own, []span{mappedSpan}), foreign...))
	}
	return own
}

// blocked returns the addresses that the filter drops before it asks the rules,
// as a normal list.
func (sp space) blocked(as int) []span {
	var all []span
	for _, d := range droppedAs[sp.version][as] {
		if !d.kind.in(sp.permit) {
			all = append(all, d.span)
		}
	}
	if sp.version == 0 {
		return normal(all)
	}
	if !sp.permit.Mapped {
		return normal(append(all, mappedSpan))
	}
	for _, s := range (space{0, sp.permit}).blocked(as) {
		all = append(all, mapSpan(s))
	}
	return normal(all)
}

// local returns the addresses to which packets are for this host: local, and
// multicast where that is permitted.
func (sp space) local(local []netip.Prefix) []span {
	spans := sp.spans(local)
	if !sp.permit.Multicast {
		return spans
	}
	for _, d := range droppedAs[sp.version][asDst] {
		if d.kind == multicast {
			spans = append(spans, d.span)
		}
	}
	if sp.version == 1 && sp.permit.Mapped {
		for _, d := range droppedAs[0][asDst] {
			if d.kind == multicast {
				spans = append(spans, mapSpan(d.span))
			}
		}
	}
	return normal(spans)
}

// kindOf returns the kind of an address that is blocked.
func kindOf(at point, version, as int) *kind {
	for _, d := range droppedAs[version][as] {
		if d.contains(span{at, at}) {
			return d.kind
		}
	}
	return mapped
}

// readPermit reads what the filter is to let get as far as the rules.
func (s *source) readPermit(v *hujson.Value, p *Policy) {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	s.texts(v, "a kind of addresses", func(text string, v *hujson.Value) {
		for _, k := range kinds {
			if k.name == text {
				k.set(&p.permit)
				return
			}
		}
		s.errorf(v, "want %s", quoted(names))
	})
}
