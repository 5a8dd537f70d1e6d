package policy

import (
	"github.com/tailscale/hujson"

	"tstun/filter"
	"tstun/ipproto"
)

// readFile reads the form that people write.
func (s *source) readFile(v *hujson.Value, p *Policy) {
	d := &definitions{source: s, names: p.names, groups: make(map[string]*group)}
	s.object(v, "the policy",
		field{key: "hosts", read: d.readHosts},
		field{key: "groups", read: func(v *hujson.Value) {
			d.readGroups(v)
			p.groups = d.groupNames()
		}},
		field{key: "local", required: true, read: func(v *hujson.Value) { p.local = s.addresses(v, p.names).list }},
		field{key: "accept", read: func(v *hujson.Value) {
			s.elements(v, "rules", func(v *hujson.Value) { s.readRule(v, p) })
		}},
		field{key: "tests", read: func(v *hujson.Value) {
			s.elements(v, "tests", func(v *hujson.Value) { s.readTest(v, p) })
		}},
	)
}

// addresses reads names and addresses.
func (s *source) addresses(v *hujson.Value, n names) (all set) {
	s.texts(v, "a host, a group or an address", func(text string, v *hujson.Value) {
		p, err := n.lookUp(text)
		if err != nil {
			s.errorf(v, "%v", err)
			return
		}
		if s.room(v, len(p)) {
			all.add(p)
		}
	})
	return all
}

// protocols reads names and numbers of protocols.
func (s *source) protocols(v *hujson.Value) (all []ipproto.Proto) {
	s.texts(v, "a protocol", func(text string, v *hujson.Value) {
		p, err := parseProto(text)
		if err != nil {
			s.errorf(v, "%v", err)
		}
		all = addProtos(all, p)
	})
	return all
}

// targets reads destinations for the protocols.
func (s *source) targets(v *hujson.Value, n names, protos []ipproto.Proto) (all []filter.NetPortRange) {
	s.texts(v, "a destination", func(text string, v *hujson.Value) {
		t, err := parseTarget(text, n, protos)
		if err != nil {
			s.errorf(v, "%v", err)
			return
		}
		if s.room(v, len(t.nets)*len(t.ports)) {
			all = t.append(all)
		}
	})
	return all
}

// defaultProtocols are those of a rule that names none, as for filter.Match.
var defaultProtocols = []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4, ipproto.ICMPv6}

func (s *source) readRule(v *hujson.Value, p *Policy) {
	var m filter.Match
	protos := defaultProtocols
	before := len(s.errs)
	s.object(v, "a rule",
		field{key: "proto", read: func(v *hujson.Value) {
			m.IPProto = s.protocols(v)
			protos = m.IPProto
		}},
		field{key: "src", required: true, read: func(v *hujson.Value) { m.Srcs = s.addresses(v, p.names).list }},
		field{key: "dst", required: true, read: func(v *hujson.Value) { m.Dsts = s.targets(v, p.names, protos) }},
	)
	if len(s.errs) == before && len(m.Srcs) > 0 && len(m.Dsts) > 0 {
		s.addRule(p, v, m)
		s.noteWords(p, v)
	}
}
