package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tailscale/hujson"

	"tstun/filter"
	"tstun/ipproto"
)

// readPacketFilter reads the form that Tailscale and headscale hand to nodes.
func (s *source) readPacketFilter(v *hujson.Value, p *Policy) {
	p.local = everywhere()
	for i := range v.Value.(*hujson.Array).Elements {
		if s.full() {
			return
		}
		s.readFilterRule(&v.Value.(*hujson.Array).Elements[i], p)
	}
}

// filterRule is a rule of a packet filter while it is read.
type filterRule struct {
	match   filter.Match
	capable bool // it grants capabilities
	targets bool // it has DstPorts
}

func (s *source) readFilterRule(v *hujson.Value, p *Policy) {
	var r filterRule
	before := len(s.errs)
	s.object(v, "a packet filter's rule",
		field{key: "SrcIPs", required: true, read: func(v *hujson.Value) { r.match.Srcs = s.addresses(v, nil).list }},
		field{key: "SrcBits", read: s.refuseBits},
		field{key: "IPProto", read: func(v *hujson.Value) { r.match.IPProto = s.numbers(v) }},
		field{key: "DstPorts", read: func(v *hujson.Value) {
			if r.targets = !isNull(v); r.targets {
				s.elements(v, "destinations", func(v *hujson.Value) { s.readDstPorts(v, &r.match) })
			}
		}},
		field{key: "CapGrant", read: func(v *hujson.Value) { r.capable = !isNull(v) }},
	)
	switch {
	case len(s.errs) > before || r.capable && !r.targets:
	case !r.targets:
		s.errorf(v, `a packet filter's rule has no "DstPorts"`)
	case len(r.match.Srcs) > 0 && len(r.match.Dsts) > 0:
		s.addRule(p, v, r.match)
	}
}

// refuseBits reads SrcBits and Bits, which are null in all that is handed out
// since 2020.
func (s *source) refuseBits(v *hujson.Value) {
	if !isNull(v) {
		s.errorf(v, "the form of 2020: want null, and prefixes such as 10.0.0.0/8 for addresses")
	}
}

// numbers reads protocol numbers.
func (s *source) numbers(v *hujson.Value) (all []ipproto.Proto) {
	if a, ok := v.Value.(*hujson.Array); isNull(v) || ok && len(a.Elements) == 0 {
		return nil
	}
	s.elements(v, "protocol numbers", func(v *hujson.Value) {
		if n, ok := s.number(v, "a protocol number", 1, 254); ok {
			all = addProtos(all, []ipproto.Proto{ipproto.Proto(n)})
		}
	})
	return all
}

// readDstPorts reads one destination into m.
func (s *source) readDstPorts(v *hujson.Value, m *filter.Match) {
	var nets []netip.Prefix
	ports := filter.AllPorts
	before := len(s.errs)
	s.object(v, "a destination",
		field{key: "IP", required: true, read: func(v *hujson.Value) {
			if text, ok := s.text(v, "an address"); ok {
				var err error
				if nets, err = parseAddresses(text); err != nil {
					s.errorf(v, "%v", err)
				}
			}
		}},
		field{key: "Bits", read: s.refuseBits},
		field{key: "Ports", required: true, read: func(v *hujson.Value) { ports = s.portRange(v) }},
	)
	if len(s.errs) > before || !s.room(v, len(nets)) {
		return
	}
	if p, bad := needsAllPorts(m.IPProto); bad && ports != filter.AllPorts {
		s.errorf(v, "%v has no ports: want the ports from 0 to 65535", p)
		return
	}
	if ports == (filter.PortRange{}) && hasPorts(m.IPProto) {
		s.errorf(v, "port 0 alone, which no service has: want the ports from 0 to 65535 for all")
		return
	}
	m.Dsts = target{nets, []filter.PortRange{ports}}.append(m.Dsts)
}

// hasPorts reports whether any of the protocols has ports; those of a rule that
// names none do.
func hasPorts(protos []ipproto.Proto) bool {
	return len(protos) == 0 || slices.ContainsFunc(protos, ipproto.Proto.HasPorts)
}

// needsAllPorts returns the first of the protocols that cannot go with a part
// of the ports.
func needsAllPorts(protos []ipproto.Proto) (ipproto.Proto, bool) {
	for _, p := range protos {
		if !p.HasPorts() && !p.IsICMP() {
			return p, true
		}
	}
	return 0, false
}

// portRange reads {"First": 80, "Last": 80}.
func (s *source) portRange(v *hujson.Value) filter.PortRange {
	ends := map[string]int{}
	read := func(key string) field {
		return field{key: key, required: true, read: func(v *hujson.Value) {
			if n, ok := s.number(v, "a port", 0, 65535); ok {
				ends[key] = n
			}
		}}
	}
	s.object(v, "a range of ports", read("First"), read("Last"))
	if len(ends) == 2 && ends["First"] > ends["Last"] {
		s.errorf(v, "an empty range of ports: want %s", fmt.Sprintf(`{"First": %d, "Last": %d}`, ends["Last"], ends["First"]))
	}
	return filter.PortRange{First: uint16(ends["First"]), Last: uint16(ends["Last"])}
}
