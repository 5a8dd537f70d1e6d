package filter

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"tstun/ipproto"
)

// TestSweep compares a sweep, at every position, with a set that is kept step
// by step.
func TestSweep(t *testing.T) {
	for _, units := range []int{1, 63, 64, 65, 700, 3000} {
		for _, spans := range []bool{false, true} {
			r := rand.New(rand.NewPCG(uint64(units), 3))
			var at []uint32 // of items
			items := units
			if spans {
				for u := 0; u < units; u += 1 + r.IntN(200) {
					at = append(at, uint32(u))
				}
				items = len(at)
				at = append(at, uint32(units))
			}
			words := (units + 63) / 64
			b := newSweep(words, at)
			set := make([]bool, units)
			states := [][]bool{slices.Clone(set)}
			for range 500 {
				item := r.IntN(items)
				b.flip(uint32(item))
				first, last := item, item+1
				if spans {
					first, last = int(at[item]), int(at[item+1])
				}
				for u := first; u < last; u++ {
					set[u] = !set[u]
				}
				states = append(states, slices.Clone(set))
			}
			w := b.done()
			for i, want := range states {
				for first, n := 0, 0; first < words; first += n { // in pieces
					n = min(1+r.IntN(words), words-first)
					got := slices.Repeat([]uint64{r.Uint64()}, n)
					w.read(got, first, uint32(i))
					for j := range 64 * n {
						u := 64*first + j
						if has := got[j/64]>>(j%64)&1 == 1; has != (u < units && want[u]) {
							t.Fatalf("%d units, spans %v, step %d: unit %d: %v", units, spans, i, u, has)
						}
					}
				}
			}
			if most := 16*len(w.steps) + 8*words; 8*len(w.kept) > most {
				t.Errorf("%d units, spans %v: %d bytes of bitmaps for %d steps, want at most %d", units, spans, 8*len(w.kept), len(w.steps), most)
			}
		}
	}
}

// TestManyGroups asks for the unit of each of so many rules that the bitmaps
// are read in several pieces.
func TestManyGroups(t *testing.T) {
	const n = 64*blockWords + 500
	ms := make([]Match, n)
	for i := range ms {
		ms[i] = groups(inGroup(peerOf, i), host(hostOf))
		ms[i].Dsts[0].Ports = PortRange{uint16(2*i + 1), uint16(2*i + 1)}
		ms[i].IPProto = []ipproto.Proto{ipproto.TCP, ipproto.SCTP}
	}
	ms[7].IPProto, ms[7].Dsts[0].Ports = []ipproto.Proto{ipproto.TCP, ipproto.GRE}, AllPorts
	ms[7].Srcs[0] = host(peerOf + 10) // not from the peer
	x := newIndex(mustCopy(t, ms))
	if x.dense == nil || x.dense.words <= blockWords {
		t.Fatal("the index has no bitmaps, or short ones")
	}
	rx := newRuleIndex(mustCopy(t, ms))
	if rx.dense == nil || rx.dense.words <= blockWords {
		t.Fatal("the index of rules has no bitmaps, or short ones")
	}
	for i := range 2*n + 100 {
		for _, proto := range []ipproto.Proto{ipproto.TCP, ipproto.UDP, ipproto.SCTP, ipproto.GRE} {
			want := i%2 == 1 && i < 2*n && i != 15 && (proto == ipproto.TCP || proto == ipproto.SCTP)
			if got := x.allows(proto, addr4(peerOf), addr4(hostOf), uint16(i)); got != want {
				t.Fatalf("%v to port %d: %v, want %v", proto, i, got, want)
			}
			rule := noRule
			if want {
				rule = i / 2
			}
			if got := rx.first(proto, addr4(peerOf), addr4(hostOf), uint16(i)); got != rule {
				t.Fatalf("%v to port %d: rule %d, want %d", proto, i, got, rule)
			}
		}
	}
}

// lookups returns how many look-ups and reads of words a decision takes at
// most.
func (x *index) lookups(src, dst netip.Addr) (n int) {
	s, d := x.srcs.find(src), x.dsts.find(dst)
	if s == none || d == none {
		return 0
	}
	if x.dense != nil {
		if _, _, ok := x.dense.prefixes(s, d); ok {
			steps := func(w *sweep) int { return 1 << w.shift >> 1 }
			return 3*x.dense.words + steps(&x.dense.srcs) + steps(&x.dense.dsts) + steps(&x.dense.ports)
		}
	}
	for ; d != none; d = x.dstNodes[d].up {
		for s := s; s != none; s = x.srcNodes[s].up {
			n += 1 + int(min(x.srcNodes[s].n, x.dstNodes[d].n))
		}
	}
	return n
}

// TestRefusalLooksUpLittle counts what a refusal takes, since time cannot be
// tested: on every shape, at most what the scan takes, and no more than about
// as many words as the bitmaps of all rules have.
func TestRefusalLooksUpLittle(t *testing.T) {
	for _, sh := range refusalShapes {
		for _, n := range []int{10, 100, 1000, 10_000} {
			x := buildIndex(mustCopy(t, sh.rules(n)), readCost)
			for i := range 50 {
				src, dst := sh.flow(i * 7919 % n)
				if got, want := x.lookups(src, dst), min(2*n, 40+n/15); got > want {
					t.Errorf("%s, %d rules: %d look-ups, want at most %d", sh.name, n, got, want)
				}
			}
		}
	}
}

// TestBitmapsDoNotGrowWithTheProduct puts many addresses in many crowded
// prefixes, so that the sets of units that they are in have as many members as
// rules times addresses.
func TestBitmapsDoNotGrowWithTheProduct(t *testing.T) {
	const n = 4000
	var ms []Match
	for i := range n {
		ms = append(ms, Match{
			Srcs: []netip.Prefix{nested4(0, i%8), host(30<<24 | uint32(i)), host(spread(i))},
			Dsts: []NetPortRange{
				{nested4(1, i%8), PortRange{uint16(i), uint16(2*i + 1)}},
				{host(31<<24 | uint32(i)), PortRange{uint16(i), uint16(2*i + 1)}},
			},
		})
	}
	x := buildIndex(mustCopy(t, ms), readCost)
	if x.dense == nil {
		t.Fatal("the index has no bitmaps")
	}
	if len(x.dense.srcPrefixes) < n || len(x.dense.dstPrefixes) < n {
		t.Fatalf("%d and %d prefixes in crowds, want %d", len(x.dense.srcPrefixes), len(x.dense.dstPrefixes), n)
	}
	for name, w := range map[string]*sweep{"sources": &x.dense.srcs, "destinations": &x.dense.dsts, "ports": &x.dense.ports} {
		if len(w.steps) > 4*n || 8*len(w.kept) > 16*4*n {
			t.Errorf("%s: %d steps and %d bytes of bitmaps for %d rules", name, len(w.steps), 8*len(w.kept), n)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	rules := mustCopy(t, ms)
	for range 3000 {
		src, dst := addr4(30<<24|r.Uint32N(2*n)), addr4(31<<24|r.Uint32N(2*n))
		port := uint16(r.IntN(4 * n))
		if got, want := x.allows(ipproto.UDP, src, dst, port), rules.match(ipproto.UDP, src, dst, port) != noRule; got != want {
			t.Fatalf("%v to %v port %d: %v, want %v", src, dst, port, got, want)
		}
	}
}

// TestBitmapsOnlyWhereListsAreLong: rules that need no bitmaps do not pay.
func TestBitmapsOnlyWhereListsAreLong(t *testing.T) {
	for _, sh := range shapes {
		for _, n := range []int{10, 1000, 20_000} {
			if x := buildIndex(mustCopy(t, sh.rules(n)), readCost); x.dense != nil {
				t.Errorf("%s, %d rules: bitmaps of %d words", sh.name, n, x.dense.words)
			}
		}
	}
}

// TestEveryProtocol asks for each protocol of rules that name some.
func TestEveryProtocol(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	var ms []Match
	for i := range 100 {
		m := Match{Srcs: inGroup(peerOf, i), Dsts: []NetPortRange{{host(hostOf), AllPorts}}}
		for range r.IntN(4) {
			m.IPProto = append(m.IPProto, ipproto.Proto(1+r.IntN(254)))
		}
		if i%10 != 0 { // few rules are for all
			m.Srcs[0] = host(peerOf + uint32(i%10))
		}
		ms = append(ms, m)
	}
	rules := mustCopy(t, ms)
	for name, x := range indexesOf(rules) {
		t.Run(name, func(t *testing.T) {
			for p := range 256 {
				proto := ipproto.Proto(p)
				for peer := range uint32(11) {
					got, want := x.allows(proto, addr4(peerOf+peer), addr4(hostOf), 9), rules.match(proto, addr4(peerOf+peer), addr4(hostOf), 9) != noRule
					if got != want {
						t.Fatal(fmt.Sprint(proto, peer, got, want))
					}
				}
			}
		})
	}
}
