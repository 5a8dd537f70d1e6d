package filter

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"tstun/flow"
	"tstun/ipproto"
)

// randomFilter returns a filter of random rules and settings, for flows of s.
func randomFilter(t *testing.T, s space) *Filter {
	t.Helper()
	local := everywhere()
	if s.r.IntN(2) == 0 {
		local = []netip.Prefix{s.prefix(false), s.prefix(true)}
	}
	any := Permit{Multicast: true, LinkLocal: true, Mapped: true, Martian: true}
	c := Config{Matches: s.rules(s.r.IntN(60), 4, 4), Local: local, ShieldsUp: s.r.IntN(8) == 0}
	if s.r.IntN(2) == 0 {
		c.Permit = any
	}
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// oddAddrs are addresses that are dropped for themselves, unless they are permitted.
var oddAddrs = []netip.Addr{
	netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("169.254.0.1"),
	netip.MustParseAddr("::1"), netip.MustParseAddr("ff02::1"), netip.MustParseAddr("fe80::1"), netip.MustParseAddr("::ffff:10.0.0.1"),
}

// end returns an end of a random flow of s.
func (s space) end(v6 bool) netip.AddrPort {
	a := s.addr(v6)
	if s.r.IntN(12) == 0 {
		a = oddAddrs[s.r.IntN(len(oddAddrs))]
	}
	return netip.AddrPortFrom(a, uint16(s.r.IntN(7)))
}

var directions = []Direction{Inbound, Outbound}

// RuleOf is the Rule of ExplainNew, which scans the rules, and judgeFlow, which the audit
// filter is asked by, its Reason. So is Check, but of packets to their own sender.
func TestRuleOfIsThatOfExplainNew(t *testing.T) {
	found, refused := 0, make(map[Reason]int)
	for seed := range uint64(60) {
		s := space{rand.New(rand.NewPCG(seed, 12)), 3 + int(seed%5), int(seed % 4)}
		f := randomFilter(t, s)
		for range 300 {
			v6 := s.r.IntN(3) == 0
			host, peer := s.end(v6), s.end(v6)
			if s.r.IntN(10) == 0 {
				peer = netip.AddrPortFrom(host.Addr(), peer.Port())
			}
			proto := ipproto.Proto(s.r.IntN(256))
			if s.r.IntN(8) != 0 {
				proto = someProtos[s.r.IntN(len(someProtos))]
			}
			k := flow.MakeKey(proto, host, peer)
			for _, d := range directions {
				src, dst := peer, host
				if d == Outbound {
					src, dst = host, peer
				}
				e := f.ExplainNew(d, src, dst, proto)
				if got := f.RuleOf(d, k); got != e.Rule {
					t.Fatalf("%v %v: rule %d, want that of %+v, of rules\n%v", d, k, got, e, f.rules)
				}
				if got := f.judgeFlow(d, k); got != e.Reason {
					t.Fatalf("%v %v: reason %v, want that of %+v", d, k, got, e)
				}
				if e.Rule >= 0 {
					found++
				}
				refused[e.Reason]++
			}
			if got, e := f.Check(peer.Addr(), host.Addr(), host.Port(), proto), f.ExplainNew(Inbound, peer, host, proto); got != e.Response && !isSameHost(peer.Addr(), host.Addr()) {
				t.Fatalf("%v: Check says %v, ExplainNew %+v", k, got, e)
			}
		}
	}
	if found < 1000 {
		t.Errorf("rules let %d flows in", found)
	}
	for _, r := range []Reason{ReasonNone, ReasonMalformed, ReasonMulticast, ReasonLinkLocal, ReasonMappedAddr, ReasonMartian, ReasonNotLocal, ReasonNoRule, ReasonShieldsUp} {
		if refused[r] == 0 {
			t.Errorf("no flow gets %v", r)
		}
	}
}

func TestRuleOfDoesNotAllocate(t *testing.T) {
	for _, sh := range refusalShapes {
		f, err := New(Config{Matches: sh.rules(1000), Local: everywhere()})
		if err != nil {
			t.Fatal(err)
		}
		k := sh.key(7)
		f.RuleOf(Inbound, k)
		if n := testing.AllocsPerRun(100, func() { f.RuleOf(Inbound, k) }); n != 0 {
			t.Errorf("%s: %v allocations", sh.name, n)
		}
	}
}

// key returns the key of a flow that rule i allows, if any does.
func (s shape) key(i int) flow.Key {
	src, dst := s.flow(i)
	return flow.MakeKey(ipproto.TCP, netip.AddrPortFrom(dst, allowedPort), netip.AddrPortFrom(src, 5000))
}

// BenchmarkRuleOf is the cost of asking which rule lets a flow in, beside that of
// ExplainNew, which scans the rules.
func BenchmarkRuleOf(b *testing.B) {
	for _, sh := range refusalShapes {
		for _, n := range []int{1, 100, 10_000} {
			f, err := New(Config{Matches: sh.rules(n), Local: everywhere()})
			if err != nil {
				b.Fatal(err)
			}
			var keys []flow.Key
			for i := range 1 << 12 {
				if k := sh.key(i * 7919 % n); k.Host().Addr() != k.Peer().Addr() {
					keys = append(keys, k)
				}
			}
			rule := f.RuleOf(Inbound, keys[1])
			b.Run(fmt.Sprintf("%s/rules=%d", sh.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if got := f.RuleOf(Inbound, keys[i%len(keys)]); (got < 0) != (rule < 0) {
						b.Fatal(got, rule)
					}
				}
			})
			k := keys[1]
			b.Run(fmt.Sprintf("%s/rules=%d/ExplainNew", sh.name, n), func(b *testing.B) {
				for b.Loop() {
					if got := f.ExplainNew(Inbound, k.Peer(), k.Host(), k.Proto()).Rule; got != rule {
						b.Fatal(got, rule)
					}
				}
			})
		}
	}
}
