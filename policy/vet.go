package policy

import (
	"fmt"
	"net/netip"

	"github.com/tailscale/hujson"

	"tstun/ipproto"
)

// verdict says what of a rule does nothing.
type verdict struct {
	dead    bool // all of it
	v       *hujson.Value
	message string
}

// vet looks at a rule for what can never match: sources and destinations that
// the filter drops before it asks the rules, destinations that are not local,
// and those with no counterpart of their IP version. If anything is left of the
// rule, it notes each text that does nothing; else it returns why the rule does
// nothing.
func (r *reader) vet(p *ruleParts) verdict {
	srcs, dsts := make([]versions, len(p.srcs)), make([]versions, len(p.dsts))
	var src, dst versions
	for i, it := range p.srcs {
		srcs[i] = r.arriving(it.nets, (*scope).passesSrc)
		src = src.or(srcs[i])
	}
	for i, it := range p.dsts {
		dsts[i] = r.arriving(it.nets, (*scope).passesDst)
		dst = dst.or(dsts[i])
	}
	live := src.and(dst).and(versionsOf(p.protocols()))
	var why []verdict
	// Machines write both versions of all that they name.
	tell := func(v versions) bool {
		return v.and(live) == (versions{}) && (r.policy.written || v == (versions{}))
	}
	for i, it := range p.srcs {
		if tell(srcs[i]) {
			why = append(why, verdict{v: it.v, message: r.whyNotFrom(it, srcs[i])})
		}
	}
	for i, it := range p.dsts {
		if tell(dsts[i]) {
			why = append(why, verdict{v: it.v, message: r.whyNotTo(it.item, dsts[i])})
		}
	}
	if live == (versions{}) {
		return deadRule(p, src, dst, why)
	}
	for _, w := range why {
		r.notef(w.v, "does nothing here: %s", w.message)
	}
	return verdict{}
}

// deadRule returns why a rule does nothing at all: the first text that is alone
// to blame, or that nothing goes together.
func deadRule(p *ruleParts, src, dst versions, why []verdict) verdict {
	if src != (versions{}) && dst != (versions{}) {
		return verdict{true, p.v, "allows nothing: want a source and a destination of one IP version, and a protocol that it has"}
	}
	w := why[0]
	if src != (versions{}) {
		w = why[len(why)-len(p.dsts)] // the first destination: all are to blame
	}
	return verdict{true, w.v, "the rule allows nothing: " + w.message}
}

// versions is a set of IP versions: 0 is IPv4, 1 is IPv6.
type versions [2]bool

func (v versions) or(w versions) versions  { return versions{v[0] || w[0], v[1] || w[1]} }
func (v versions) and(w versions) versions { return versions{v[0] && w[0], v[1] && w[1]} }

// versionsOf returns the IP versions that have any of the protocols.
func versionsOf(protos []ipproto.Proto) (v versions) {
	for _, p := range protos {
		v = v.or(versions{p != ipproto.ICMPv6, p != ipproto.ICMPv4})
	}
	return v
}

// arriving returns the IP versions in which any of the addresses passes.
func (r *reader) arriving(nets []netip.Prefix, passes func(*scope, span) bool) (v versions) {
	for _, p := range nets {
		if i := version(p); !v[i] {
			v[i] = passes(&r.scopes[i], spanOf(p))
		}
		if v[0] && v[1] {
			break
		}
	}
	return v
}

// passesSrc reports whether flows from any address in s get to the rules.
func (s *scope) passesSrc(src span) bool { return !inside(src, s.dropSrc) }

// passesDst reports whether flows to any address in s get to the rules.
func (s *scope) passesDst(dst span) bool {
	for _, local := range s.localSpans[from(s.localSpans, dst.first):] {
		both := intersection([]span{dst}, []span{local})
		if len(both) == 0 {
			return false
		}
		if !inside(both[0], s.dropDst) {
			return true
		}
	}
	return false
}

// whyNotFrom says why nothing comes from the source.
func (r *reader) whyNotFrom(it item, arrives versions) string {
	if arrives != (versions{}) {
		return "no destination is of its IP version"
	}
	p := it.nets[0]
	return whyDropped("comes from", kindOf(spanOf(p).first, version(p), asSrc))
}

// whyNotTo says why nothing goes to the destination.
func (r *reader) whyNotTo(it item, arrives versions) string {
	if arrives != (versions{}) {
		return "no source is of its IP version"
	}
	if len(it.nets) == 0 {
		return `"except" takes all of it away`
	}
	for _, p := range it.nets {
		v := version(p)
		if both := intersection([]span{spanOf(p)}, r.scopes[v].localSpans); len(both) > 0 {
			return whyDropped("is sent to", kindOf(both[0].first, v, asDst))
		}
	}
	p := it.nets[0]
	if k := kindOf(spanOf(p).first, version(p), asDst); k == multicast && inside(spanOf(p), r.scopes[version(p)].dropDst) {
		return whyDropped("is sent to", k)
	}
	return `none of it is in "local", and the filter drops what is sent elsewhere`
}

func whyDropped(verb string, k *kind) string {
	return fmt.Sprintf(`the filter drops what %s it (%s) before it asks the rules, unless "permit" has %q`, verb, k.what, k.name)
}
