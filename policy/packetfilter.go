package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"tstun/filter"
	"tstun/ipproto"
)

// readFilterRule reads one rule of a packet filter, in the spelling of either
// tailcfg.FilterRule or the rules that nodes compile these to. What allows
// nothing is passed over.
func (r *reader) readFilterRule(v *hujson.Value) {
	m := machineRule{reader: r, parts: ruleParts{v: v}}
	before := len(r.errs)
	r.object(v, "a packet filter's rule",
		field{key: "IPProto", read: m.readProtocols},
		field{key: "SrcBits", read: m.readBits},
		field{key: "SrcIPs", read: func(v *hujson.Value) { m.readSources(v, m.bits) }},
		field{key: "Srcs", read: func(v *hujson.Value) { m.readSources(v, nil) }},
		field{key: "SrcCaps", read: m.readCapabilities},
		field{key: "DstPorts", read: func(v *hujson.Value) { m.readDestinations(v, "IP") }},
		field{key: "Dsts", read: func(v *hujson.Value) { m.readDestinations(v, "Net") }},
		field{key: "CapGrant", read: m.readGrants},
		field{key: "Caps", read: m.readGrants},
	)
	if len(r.errs) == before {
		m.add()
	}
}

// machineRule is a rule of a packet filter while it is read.
type machineRule struct {
	*reader
	parts   ruleParts // but for dsts
	dsts    []machineDst
	bits    []int // SrcBits
	capable bool  // it names capabilities as sources
	grants  bool  // it grants capabilities
	foreign bool  // it names protocols, and none that a filter knows
}

// machineDst is a destination and the protocols that it is for.
type machineDst struct {
	destination
	protos []ipproto.Proto // nil: the default ones
}

// listed calls each for the elements of a list that can be null.
func (s *source) listed(v *hujson.Value, what string, each func(*hujson.Value)) {
	if !isNull(v) {
		s.anyElements(v, what, each)
	}
}

// readProtocols reads the numbers of protocols. Tailscale keeps those that are
// no protocol's for its own use.
func (m *machineRule) readProtocols(v *hujson.Value) {
	m.listed(v, "protocol numbers", func(v *hujson.Value) {
		text, ok := m.textOrNumber(v, "a protocol number")
		if !ok {
			return
		}
		protos, err := parseProto(text)
		if err != nil {
			m.notef(v, "passed over: not the number of a protocol that packets have")
			m.foreign = true
			return
		}
		m.parts.protos = addProtos(m.parts.protos, protos)
	})
	m.foreign = m.foreign && m.parts.protos == nil
}

// readBits reads the prefix lengths that SrcIPs had until 2020.
func (m *machineRule) readBits(v *hujson.Value) {
	m.listed(v, "prefix lengths", func(v *hujson.Value) {
		n, _ := m.number(v, "a prefix length", 0, 128)
		m.bits = append(m.bits, n)
	})
}

// readSources reads addresses, the first of which have prefix lengths beside
// them, and capabilities.
func (m *machineRule) readSources(v *hujson.Value, bits []int) {
	at := 0
	m.listed(v, "sources", func(v *hujson.Value) {
		length := -1
		if at < len(bits) {
			length = bits[at]
		}
		at++
		text, ok := m.text(v, "an address")
		switch {
		case !ok:
		case strings.HasPrefix(text, "cap:"):
			m.capable = true
			m.notef(v, "passed over: %s", wantNoCapability)
		default:
			if nets, ok := m.nets(v, text, length); ok {
				m.parts.srcs = append(m.parts.srcs, item{v, nets})
			}
		}
	})
}

func (m *machineRule) readCapabilities(v *hujson.Value) {
	m.listed(v, "capabilities", func(v *hujson.Value) {
		m.capable = true
		m.notef(v, "passed over: %s", wantNoCapability)
	})
}

func (m *machineRule) readGrants(v *hujson.Value) {
	m.listed(v, "capabilities", func(*hujson.Value) { m.grants = true })
}

// nets returns the addresses that text stands for, with the prefix length that
// stands beside it, if that is not negative.
func (m *machineRule) nets(v *hujson.Value, text string, length int) ([]netip.Prefix, bool) {
	nets, err := parseMachineAddresses(text, length)
	if err != nil {
		m.errorf(v, "%v", err)
		return nil, false
	}
	if len(nets) == 1 && nets[0] != nets[0].Masked() {
		nets[0] = nets[0].Masked()
		m.notef(v, "has bits behind its length: taken as %v", nets[0])
	}
	return nets, m.room(v, len(nets))
}

// parseMachineAddresses is parseAddresses for what machines write: a prefix can
// have bits behind its length, and the length of one can stand beside it.
func parseMachineAddresses(text string, length int) ([]netip.Prefix, error) {
	if text != "*" && length >= 0 && !strings.ContainsAny(text, "/-") {
		text = fmt.Sprintf("%s/%d", text, length)
	}
	if p, err := netip.ParsePrefix(text); err == nil && !p.Addr().Is4In6() {
		return []netip.Prefix{p}, nil
	}
	return parseAddresses(text)
}

// readDestinations reads destinations, of which key has the addresses.
func (m *machineRule) readDestinations(v *hujson.Value, key string) {
	m.listed(v, "destinations", func(v *hujson.Value) { m.readDestination(v, key) })
}

func (m *machineRule) readDestination(v *hujson.Value, key string) {
	d := machineDst{destination: destination{item: item{v: v}}, protos: m.parts.protos}
	length := -1
	var ports filter.PortRange
	before := len(m.errs)
	m.object(v, "a destination",
		field{key: "Bits", read: func(v *hujson.Value) {
			if !isNull(v) {
				length, _ = m.number(v, "a prefix length", 0, 128)
			}
		}},
		field{key: key, required: true, read: func(v *hujson.Value) {
			if text, ok := m.text(v, "an address"); ok {
				d.nets, _ = m.nets(v, text, length)
			}
		}},
		field{key: "Ports", required: true, read: func(v *hujson.Value) { ports = m.portRange(v) }},
	)
	if len(m.errs) > before {
		return
	}
	d.ports = []filter.PortRange{ports}
	if m.fit(&d, ports); d.protos == nil || len(d.protos) > 0 {
		m.dsts = append(m.dsts, d)
	}
}

// fit leaves the destination the protocols that can go with its ports. As for
// the nodes that these filters are made for, a protocol without ports goes with
// all ports alone, and ICMP with any.
func (m *machineRule) fit(d *machineDst, ports filter.PortRange) {
	if ports == filter.AllPorts {
		return
	}
	fits := func(p ipproto.Proto) bool { return p.HasPorts() || p.IsICMP() }
	why := "passed over for protocols without ports: it has ports"
	if ports == (filter.PortRange{}) {
		fits = ipproto.Proto.IsICMP
		why = "passed over for protocols with ports: port 0 alone is no service's"
		d.ports = []filter.PortRange{filter.AllPorts}
	}
	all := m.parts.protocols()
	left := slices.DeleteFunc(slices.Clone(all), func(p ipproto.Proto) bool { return !fits(p) })
	if len(left) < len(all) {
		d.protos = left
		m.notef(d.v, "%s", why)
	}
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

// add adds the rule, as one for each list of protocols that destinations have.
func (m *machineRule) add() {
	if err := m.useless(); err != nil {
		m.notef(m.parts.v, "passed over: %v", err)
		return
	}
	byProtos := newGroups[string, machineDst]()
	for _, d := range m.dsts {
		byProtos.add(fmt.Sprint(d.protos), d)
	}
	for _, dsts := range byProtos.all() {
		parts := m.parts
		parts.protos = dsts[0].protos
		for _, d := range dsts {
			parts.dsts = append(parts.dsts, d.destination)
		}
		if why := m.vet(&parts); why.dead {
			m.notef(why.v, "passed over: %s", why.message)
			continue
		}
		m.addRule(parts.v, parts.match())
	}
}

// useless returns why the rule allows no packet.
func (m *machineRule) useless() error {
	switch {
	case m.foreign:
		return errors.New("it is for no protocol that packets have")
	case len(m.dsts) == 0 && m.grants:
		return errors.New("it grants capabilities, and lets no packet through")
	case len(m.dsts) == 0:
		return errors.New("no destination, so it allows nothing")
	case len(m.parts.srcs) == 0 && m.capable:
		return errors.New("no source but capabilities, so it allows no address")
	case len(m.parts.srcs) == 0:
		return errors.New("no source, so it allows nothing")
	}
	return nil
}
