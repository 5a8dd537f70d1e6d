package policy

import (
	"net/netip"
	"slices"

	"github.com/tailscale/hujson"

	"tstun/filter"
	"tstun/ipproto"
)

// readFile reads the form that people write.
func (r *reader) readFile(v *hujson.Value) {
	p := r.policy
	d := &definitions{source: r.source, names: p.names, groups: make(map[string]*group)}
	local := everywhere() // as long as nothing better is known
	said := false         // what is local
	r.object(v, "the policy",
		field{key: "hosts", read: d.readHosts},
		field{key: "groups", read: func(v *hujson.Value) {
			d.readGroups(v)
			p.groups = d.groupNames()
		}},
		field{key: "permit", read: func(v *hujson.Value) { r.readPermit(v, p) }},
		field{key: "local", read: func(v *hujson.Value) {
			said = true
			before := len(r.errs)
			if items := r.addresses(v, p.names); len(r.errs) == before && allKnown(items) {
				local = joinNets(items)
			}
		}},
		field{read: func(v *hujson.Value) {
			if !said && r.host == "" {
				r.errorf(v, `the policy has no "local": want the addresses of the host that it is for, or, if it is for several, the one to read it for (tstun check --local HOST)`)
			}
			r.settleLocal(local)
		}},
		field{key: "accept", read: func(v *hujson.Value) {
			p.matches, p.places = slices.Grow(p.matches, lengthOf(v)), slices.Grow(p.places, lengthOf(v))
			r.anyElements(v, "rules", r.readRule)
		}},
		field{key: "tests", read: func(v *hujson.Value) {
			p.tests = slices.Grow(p.tests, lengthOf(v))
			r.anyElements(v, "tests", r.readTest)
		}},
	)
	if r.missing {
		r.notes.add(func() Note {
			return Note{r.position(v.StartOffset), "", "tests of what is sent to other hosts are left out"}
		})
	}
}

// item is a text that stands for addresses.
type item struct {
	v    *hujson.Value
	nets []netip.Prefix
}

// allKnown reports whether each item stands for addresses. A name that was
// defined with errors, which were noted, stands for none.
func allKnown(items []item) bool {
	return !slices.ContainsFunc(items, func(i item) bool { return len(i.nets) == 0 })
}

// addresses reads names and addresses.
func (s *source) addresses(v *hujson.Value, n *names) (all []item) {
	s.texts(v, "a host, a group or an address", func(text string, v *hujson.Value) {
		p, err := n.lookUp(text)
		if err != nil {
			s.errorf(v, "%v", err)
			return
		}
		if s.room(v, len(p)) {
			all = append(all, item{v, p})
		}
	})
	return all
}

// joinNets returns what items stand for, without repetition. It must not be
// changed.
func joinNets(items []item) []netip.Prefix {
	var all set
	for _, i := range items {
		all.add(i.nets)
	}
	return all.list
}

// protocols reads names and numbers of protocols.
func (s *source) protocols(v *hujson.Value) (all []ipproto.Proto) {
	s.oneOrMore(v, "a protocol", func(v *hujson.Value) {
		text, ok := s.textOrNumber(v, "a protocol")
		if !ok {
			return
		}
		p, err := parseProto(text)
		if err != nil {
			s.errorf(v, "%v", err)
		}
		all = addProtos(all, p)
	})
	return all
}

// destination is a text that stands for a target.
type destination struct {
	item
	ports []filter.PortRange
}

// target reads a destination for the protocols.
func (s *source) target(text string, v *hujson.Value, n *names, protos []ipproto.Proto) (d destination, ok bool) {
	t, err := parseTarget(text, n, protos)
	if err != nil {
		s.errorf(v, "%v", err)
		return d, false
	}
	return destination{item{v, t.nets}, t.ports}, s.room(v, len(t.nets)*len(t.ports))
}

// ruleParts is a rule while it is read.
type ruleParts struct {
	v       *hujson.Value
	protos  []ipproto.Proto // nil: the default ones
	srcs    []item
	dsts    []destination
	excepts []item
}

func (p *ruleParts) protocols() []ipproto.Proto {
	if p.protos == nil {
		return defaultProtocols
	}
	return p.protos
}

func (p *ruleParts) allKnown() bool {
	dsts := make([]item, len(p.dsts))
	for i, d := range p.dsts {
		dsts[i] = d.item
	}
	return allKnown(p.srcs) && allKnown(p.excepts) && allKnown(dsts)
}

// match returns the rule as a filter takes it.
func (p *ruleParts) match() filter.Match {
	m := filter.Match{IPProto: p.protos, Srcs: joinNets(p.srcs)}
	for _, d := range p.dsts {
		m.Dsts = target{d.nets, d.ports}.append(m.Dsts)
	}
	return m
}

func (r *reader) readRule(v *hujson.Value) {
	n := r.policy.names
	parts := &ruleParts{v: v}
	before := len(r.errs)
	r.object(v, "a rule",
		field{key: "proto", read: func(v *hujson.Value) { parts.protos = r.protocols(v) }},
		field{key: "src", required: true, read: func(v *hujson.Value) { parts.srcs = r.addresses(v, n) }},
		field{key: "dst", required: true, read: func(v *hujson.Value) {
			r.texts(v, "a destination", func(text string, v *hujson.Value) {
				if d, ok := r.target(text, v, n, parts.protocols()); ok {
					parts.dsts = append(parts.dsts, d)
				}
			})
		}},
		field{key: "except", read: func(v *hujson.Value) { parts.excepts = r.addresses(v, n) }},
	)
	if len(r.errs) > before || len(parts.srcs) == 0 || len(parts.dsts) == 0 || !parts.allKnown() {
		return
	}
	var x *exception
	if len(parts.excepts) > 0 {
		x = &exception{whole: parts.match(), nets: joinNets(parts.excepts)}
		if !r.leaveOut(parts.excepts, parts.dsts) {
			return
		}
	}
	if why := r.vet(parts); why.dead {
		r.errorf(why.v, "%s", why.message)
		return
	}
	number, added := r.addRule(v, parts.match())
	if !added {
		return
	}
	r.noteWords(r.policy, v)
	if x != nil {
		r.policy.excepts[number] = x
	}
}
