package filter_test

import (
	"math/bits"
	"net/netip"
	"strings"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
)

// The nearest rule is one that lacks least: a rule that lacks two things is
// never named where another lacks one. Of rules that lack as much, one that
// lacks the port comes before one that lacks the protocol, that before one for
// another source, that before one for another destination.
func TestNearestLacksLeast(t *testing.T) {
	const src, dst = "10.0.0.2", "10.0.0.1"
	match := func(src, dst string, port uint16, proto ipproto.Proto) filter.Match {
		return filter.Match{IPProto: []ipproto.Proto{proto}, Srcs: nets(src + "/32"),
			Dsts: to(filter.PortRange{First: port, Last: port}, dst+"/32")}
	}
	var (
		lacksPort        = match(src, dst, 80, ipproto.TCP)
		lacksProto       = match(src, dst, 22, ipproto.UDP)
		lacksSource      = match("10.0.0.3", dst, 22, ipproto.TCP)
		lacksDestination = match(src, "10.0.0.4", 22, ipproto.TCP)
		lacksPortProto   = match(src, dst, 80, ipproto.UDP)
		lacksSourcePort  = match("10.0.0.3", dst, 80, ipproto.TCP)
		lacksDestPort    = match(src, "10.0.0.4", 80, ipproto.TCP)
		lacksBothEnds    = match("10.0.0.3", "10.0.0.4", 22, ipproto.TCP)
	)
	tests := []struct {
		name  string
		rules []filter.Match
		want  int
		lacks string
		text  string
	}{
		{"port before protocol", []filter.Match{lacksProto, lacksPort}, 1, "port", "port 22 is not in 80"},
		{"protocol before source", []filter.Match{lacksSource, lacksProto}, 1, "protocol", "protocol tcp is not in udp"},
		{"source before destination", []filter.Match{lacksDestination, lacksSource}, 1, "source", "source 10.0.0.2 is not in 10.0.0.3/32"},
		{"one thing before two that each weigh less", []filter.Match{lacksPortProto, lacksSource}, 1, "source", ""},
		{"destination alone before port and protocol", []filter.Match{lacksPortProto, lacksDestination}, 1, "destination", "destination 10.0.0.1:22 is not in 10.0.0.4/32:22"},
		{"destination with the port before one without", []filter.Match{lacksDestPort, lacksDestination}, 1, "destination", ""},
		{"the first of equals", []filter.Match{lacksSourcePort, lacksSource, lacksSource}, 1, "source", ""},
		{"neither source nor destination", []filter.Match{lacksBothEnds}, -1, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFilter(t, filter.Config{Matches: tt.rules, Local: nets("10.0.0.1/32")})
			e := f.Explain(addrPort(src, 1), addrPort(dst, 22), ipproto.TCP)
			n := e.Nearest
			if n.IsZero() {
				n.Rule = -1
			}
			if n.Rule != tt.want || n.Lacks.String() != tt.lacks || !strings.Contains(e.Nearest.String(), tt.text) {
				t.Errorf("rule %d, which lacks %v (%v); want rule %d, which lacks %s", n.Rule, n.Lacks, e.Nearest, tt.want, tt.lacks)
			}
			if tt.want >= 0 && (n.Text != tt.rules[n.Rule].String() || n.Why == "") {
				t.Errorf("got %+v", n)
			}
		})
	}
}

// Whatever the rules are, none lacks fewer things than the one that is named.
func FuzzNearest(f *testing.F) {
	f.Add([]byte{0b0001, 0b0110, 0b1100})
	f.Fuzz(func(t *testing.T, shapes []byte) {
		shapes = shapes[:min(len(shapes), 64)]
		var rules []filter.Match
		least, allowed := 9, false
		for _, shape := range shapes {
			m := filter.Match{IPProto: []ipproto.Proto{ipproto.TCP}, Srcs: nets("10.0.0.2/32"), Dsts: to(port(22), "10.0.0.1/32")}
			if shape&1 != 0 {
				m.Srcs = nets("10.9.0.0/16")
			}
			if shape&2 != 0 {
				m.Dsts[0].Net = netip.MustParsePrefix("10.9.0.0/16")
			}
			if shape&4 != 0 {
				m.IPProto[0] = ipproto.UDP
			}
			if shape&8 != 0 {
				m.Dsts[0].Ports = port(80)
			}
			rules = append(rules, m)
			n := bits.OnesCount8(shape & 15)
			allowed = allowed || n == 0
			if shape&3 != 3 {
				least = min(least, n)
			}
		}
		e := newFilter(t, filter.Config{Matches: rules, Local: nets("10.0.0.1/32")}).Explain(addrPort("10.0.0.2", 1), addrPort("10.0.0.1", 22), ipproto.TCP)
		switch {
		case allowed:
			if e.Response != filter.Accept || !e.Nearest.IsZero() {
				t.Errorf("allowed, but %+v", e)
			}
		case least == 9:
			if !e.Nearest.IsZero() || e.Nearest.String() != "" {
				t.Errorf("no rule is near, but %+v", e)
			}
		case e.Nearest.IsZero() || bits.OnesCount8(uint8(e.Nearest.Lacks)) != least || bits.OnesCount8(shapes[e.Nearest.Rule]&15) != least:
			t.Errorf("a rule lacks %d, but %+v of %v", least, e, shapes)
		}
	})
}

// A rule with thousands of sources does not fill the screen.
func TestNearestNamesSome(t *testing.T) {
	m := filter.Match{IPProto: []ipproto.Proto{ipproto.TCP}, Dsts: to(port(22), "10.0.0.1/32")}
	for i := range 5000 {
		m.Srcs = append(m.Srcs, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32))
	}
	f := newFilter(t, filter.Config{Matches: []filter.Match{m}, Local: nets("10.0.0.1/32")})
	e := f.Explain(addrPort("10.0.0.2", 1), addrPort("10.0.0.1", 22), ipproto.TCP)
	if !strings.HasSuffix(e.Nearest.String(), "10.1.0.7/32 and 4992 more") {
		t.Errorf("got %s", e.Nearest)
	}
}
