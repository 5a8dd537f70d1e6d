package filter

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"tstun/ipproto"
)

// The scan of the rules is the index's slow twin: for any rules and any flow,
// both say the same.

// space is where random rules and flows come from: few addresses, so that
// prefixes overlap and flows hit.
type space struct {
	r    *rand.Rand
	bits int // of addresses that vary
	// nested: of ten prefixes and addresses, how many are the one prefixes
	// around the other, so that each of those holds the next.
	nested int
}

func (s space) addr(v6 bool) netip.Addr {
	n := s.r.Uint64() & (1<<s.bits - 1)
	if s.r.IntN(10) < s.nested {
		n = 1
	}
	if v6 {
		b := netip.MustParseAddr("fd00::").As16()
		binary.BigEndian.PutUint64(b[8:], n)
		return netip.AddrFrom16(b)
	}
	return addr4(10<<24 | uint32(n))
}

func (s space) prefix(v6 bool) netip.Prefix {
	a := s.addr(v6)
	bits := a.BitLen() - s.r.IntN(s.bits+2)
	if s.r.IntN(20) == 0 || s.r.IntN(10) < s.nested {
		bits = s.r.IntN(a.BitLen() + 1)
	}
	return netip.PrefixFrom(a, bits).Masked()
}

func (s space) ports() PortRange {
	switch s.r.IntN(4) {
	case 0:
		return AllPorts
	case 1:
		p := 1 + uint16(s.r.IntN(5)) // port 0 alone is refused
		return PortRange{p, p}
	default:
		a, b := uint16(s.r.IntN(6)), uint16(s.r.IntN(6))
		return PortRange{min(a, b), max(a, b, 1)}
	}
}

var someProtos = []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.ICMPv4, ipproto.ICMPv6, ipproto.SCTP, ipproto.GRE}

func (s space) rule(srcs, dsts int) Match {
	v6 := s.r.IntN(3) == 0
	var m Match
	for range 1 + s.r.IntN(srcs) {
		m.Srcs = append(m.Srcs, s.prefix(v6))
	}
	for range 1 + s.r.IntN(dsts) {
		m.Dsts = append(m.Dsts, NetPortRange{s.prefix(v6), s.ports()})
	}
	for range s.r.IntN(3) {
		m.IPProto = append(m.IPProto, someProtos[s.r.IntN(5)])
	}
	if s.r.IntN(6) == 0 {
		m.IPProto = append(m.IPProto, ipproto.GRE)
		for i := range m.Dsts {
			m.Dsts[i].Ports = AllPorts
		}
	}
	return m
}

// rules returns n rules of which some repeat others in part or in whole.
func (s space) rules(n, srcs, dsts int) []Match {
	var ms []Match
	for range n {
		m := s.rule(srcs, dsts)
		if len(ms) > 0 {
			old := ms[s.r.IntN(len(ms))]
			switch s.r.IntN(8) {
			case 0:
				m = old
			case 1: // its sources, and those of the other family
				m.Srcs = append(old.Srcs[:len(old.Srcs):len(old.Srcs)], m.Srcs...)
			case 2: // its services; both families meet in one rule
				m.Dsts = append(old.Dsts[:len(old.Dsts):len(old.Dsts)], m.Dsts...)
				m.Srcs = append(old.Srcs[:len(old.Srcs):len(old.Srcs)], m.Srcs...)
				m.IPProto = nil
				for i := range m.Dsts {
					m.Dsts[i].Ports = s.ports()
				}
			case 3: // its sources as they are
				if old.Srcs[0].Addr().Is4() == m.Dsts[0].Net.Addr().Is4() {
					m.Srcs = old.Srcs
				}
			}
		}
		ms = append(ms, m)
	}
	return ms
}

func compareWithScan(t *testing.T, s space, ms []Match, flows int) {
	t.Helper()
	rules, err := copyRules(ms)
	if err != nil {
		t.Fatal(err)
	}
	indexes, ruleIndexes := indexesOf(rules), ruleIndexesOf(rules)
	for range flows {
		v6 := s.r.IntN(3) == 0
		src, dst := s.addr(v6), s.addr(v6)
		if s.r.IntN(50) == 0 {
			dst = s.addr(!v6)
		}
		proto, port := someProtos[s.r.IntN(len(someProtos))], uint16(s.r.IntN(7))
		rule := rules.match(proto, src, dst, port)
		want := rule != noRule
		for name, x := range indexes {
			if got := x.allows(proto, src, dst, port); got != want {
				t.Fatalf("%v from %v to %v port %d: the index %s says %v, the scan %v, of rules\n%v", proto, src, dst, port, name, got, want, rules)
			}
		}
		for name, x := range ruleIndexes {
			if got := x.first(proto, src, dst, port); got != rule {
				t.Fatalf("%v from %v to %v port %d: the index %s says rule %d, the scan %d, of rules\n%v", proto, src, dst, port, name, got, rule, rules)
			}
		}
	}
}

// indexesOf returns the index of the rules, and those of its ways that might
// be chosen for more rules or fewer.
func indexesOf(rules scan) map[string]*index {
	return waysOf(rules, newIndex, buildIndex)
}

// ruleIndexesOf is indexesOf, of ruleIndex.
func ruleIndexesOf(rules scan) map[string]*ruleIndex {
	return waysOf(rules, newRuleIndex, buildRuleIndex)
}

func waysOf[T any](rules scan, chosen func(scan) T, build func(scan, func(int) uint32) T) map[string]T {
	return map[string]T{
		"as chosen":    chosen(rules),
		"by lists":     build(rules, func(int) uint32 { return math.MaxUint32 }),
		"by bitmaps":   build(rules, func(int) uint32 { return 0 }),
		"by some maps": build(rules, func(int) uint32 { return 30 }),
	}
}

func TestIndexSaysWhatTheScanSays(t *testing.T) {
	shapes := []struct {
		name                    string
		bits, rules, srcs, dsts int
		nested                  int
	}{
		{"no rules", 4, 0, 1, 1, 0},
		{"one rule", 3, 1, 1, 1, 0},
		{"a handful", 3, 4, 1, 1, 0},
		{"few", 4, 10, 3, 3, 0},
		{"many in a small space", 3, 200, 4, 4, 0},
		{"many in a wide space", 12, 300, 3, 3, 0},
		{"long source lists", 8, 40, 200, 2, 0},
		{"long destination lists", 8, 40, 2, 200, 0},
		{"long lists on both sides", 8, 20, 150, 150, 0},
		{"all on few destinations", 10, 300, 1, 1, 0},
		{"nested on both sides", 8, 300, 2, 2, 8},
		{"nested on both sides, in groups", 8, 300, 5, 5, 5},
		{"one host and one peer in groups", 12, 300, 20, 20, 2},
	}
	for i, sh := range shapes {
		t.Run(sh.name, func(t *testing.T) {
			for seed := range uint64(6) {
				s := space{rand.New(rand.NewPCG(seed, uint64(i))), sh.bits, sh.nested}
				ms := s.rules(sh.rules, sh.srcs, sh.dsts)
				if sh.name == "all on few destinations" {
					for j := range ms {
						for _, other := range ms[:min(j, 3)] {
							if other.Dsts[0].Net.Addr().Is4() == ms[j].Dsts[0].Net.Addr().Is4() {
								ms[j].Dsts[0].Net = other.Dsts[0].Net
							}
						}
					}
				}
				compareWithScan(t, s, ms, 2000)
			}
		})
	}
}

// TestIndexOfLists walks through every way in which two lists can meet: short
// and short, long and short, long and long, both with wider prefixes above.
func TestIndexOfLists(t *testing.T) {
	for _, lengths := range [][2]int{{1, 1}, {5, 40}, {40, 5}, {40, 60}, {60, 40}, {33, 33}, {32, 33}} {
		s := space{rand.New(rand.NewPCG(uint64(lengths[0]), uint64(lengths[1]))), 6, 0}
		var ms []Match
		// One source in many sets, one destination that many sets may reach.
		for i := range lengths[0] {
			ms = append(ms, Match{
				Srcs: []netip.Prefix{host(10 << 24), host(20<<24 | uint32(i))},
				Dsts: []NetPortRange{{host(30<<24 | uint32(i)), PortRange{1, 1}}},
			})
		}
		for i := range lengths[1] {
			ms = append(ms, Match{
				Srcs: []netip.Prefix{host(40<<24 | uint32(i)), host(50<<24 | uint32(i))},
				Dsts: []NetPortRange{{host(10<<24 | 1), PortRange{2, 2}}},
			})
		}
		for _, wider := range []bool{false, true} {
			if wider {
				ms = append(ms, s.rules(20, 2, 2)...)
			}
			compareWithScan(t, s, ms, 3000)
			meeting := append(ms[:len(ms):len(ms)], Match{
				Srcs: []netip.Prefix{host(10 << 24), netip.MustParsePrefix("40.0.0.0/8")},
				Dsts: []NetPortRange{{host(10<<24 | 1), PortRange{3, 3}}},
			})
			rules, err := copyRules(meeting)
			if err != nil {
				t.Fatal(err)
			}
			src, dst := addr4(10<<24), addr4(10<<24|1)
			for name, x := range indexesOf(rules) {
				for port := range uint16(6) {
					want := rules.match(ipproto.TCP, src, dst, port) != noRule
					if got := x.allows(ipproto.TCP, src, dst, port); got != want {
						t.Errorf("%s, lengths %v, wider %v, port %d: %v, want %v", name, lengths, wider, port, got, want)
					}
				}
			}
			for name, x := range ruleIndexesOf(rules) {
				for port := range uint16(6) {
					if got, want := x.first(ipproto.TCP, src, dst, port), rules.match(ipproto.TCP, src, dst, port); got != want {
						t.Errorf("%s, lengths %v, wider %v, port %d: rule %d, want %d", name, lengths, wider, port, got, want)
					}
				}
			}
		}
	}
}

func TestIndexIsCompact(t *testing.T) {
	const n = 10_000
	var manySrcs, manyPorts, twice []Match
	srcs := make([]netip.Prefix, n)
	dsts := make([]NetPortRange, n)
	ports := make([]NetPortRange, n)
	for i := range n {
		srcs[i] = host(spread(i))
		dsts[i] = NetPortRange{host(spread(i) ^ 1), PortRange{80, 80}}
		ports[i] = NetPortRange{host(1), PortRange{uint16(2*i + 1), uint16(2*i + 1)}}
		twice = append(twice, one(srcs[0], host(9), 80))
	}
	manySrcs = []Match{{Srcs: srcs, Dsts: dsts}}
	manyPorts = []Match{{Srcs: srcs[:1], Dsts: ports}}

	x := newIndex(mustCopy(t, manySrcs))
	if len(x.grants)+len(x.dstNodes) > 3*n || len(x.sets)+len(x.srcNodes) > 3*n {
		t.Errorf("sources × destinations: %d grants, %d sets for %d of each", len(x.grants), len(x.sets), n)
	}
	x = newIndex(mustCopy(t, manyPorts))
	if len(x.dstNodes) != 1 || len(x.services) != n+1 {
		t.Errorf("one rule with %d ports: %d nodes, %d services", n, len(x.dstNodes), len(x.services))
	}
	for i := range uint16(2 * n) {
		if got := x.allows(ipproto.TCP, srcs[0].Addr(), host(1).Addr(), i); got != (i%2 == 1) {
			t.Fatalf("port %d: %v", i, got)
		}
	}
	x = newIndex(mustCopy(t, twice))
	if len(x.dstNodes) != 1 || len(x.grants) != 0 || len(x.services) != 1 {
		t.Errorf("one rule %d times: %d nodes, %d grants, %d services", n, len(x.dstNodes), len(x.grants), len(x.services))
	}
}

func mustCopy(t *testing.T, ms []Match) scan {
	t.Helper()
	rules, err := copyRules(ms)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func FuzzIndex(f *testing.F) {
	f.Add(uint64(1), uint8(4), uint8(10), uint8(3), uint8(3))
	f.Add(uint64(2), uint8(9), uint8(99), uint8(39), uint8(0))
	f.Add(uint64(3), uint8(8*14+6), uint8(99), uint8(1), uint8(1)) // nested
	f.Add(uint64(4), uint8(3*14+6), uint8(80), uint8(20), uint8(20))
	f.Fuzz(func(t *testing.T, seed uint64, bits, n, srcs, dsts uint8) {
		s := space{rand.New(rand.NewPCG(seed, 1)), 1 + int(bits%14), int(bits / 14 % 10)}
		compareWithScan(t, s, s.rules(int(n%100), 1+int(srcs%40), 1+int(dsts%40)), 200)
	})
}
