package filter

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"tstun/ipproto"
	"tstun/packet"
)

// shape makes n rules, and flows to judge by them: of rule i, and one that no
// rule allows although its addresses are in rules.
type shape struct {
	name string
	rule func(i int) Match
	flow func(i int) (src, dst netip.Addr)
}

// spread scatters i over the addresses of 10.0.0.0/8.
func spread(i int) uint32 { return 10<<24 | uint32(i)*2654435761>>8 }

func host(n uint32) netip.Prefix { return netip.PrefixFrom(addr4(n), 32) }

func one(src, dst netip.Prefix, port uint16) Match {
	return Match{Srcs: []netip.Prefix{src}, Dsts: []NetPortRange{{dst, PortRange{port, port}}}}
}

const allowedPort, refusedPort = 80, 81

func hostShape(name string, src, dst func(i int) uint32) shape {
	return shape{
		name: name,
		rule: func(i int) Match { return one(host(src(i)), host(dst(i)), allowedPort) },
		flow: func(i int) (netip.Addr, netip.Addr) { return addr4(src(i)), addr4(dst(i)) },
	}
}

// wide returns two prefixes of 8 to 24 bits in 20.0.0.0 to 119.255.255.255: of
// 10,000 such, about ten hold an address.
func wide(i int) (src, dst netip.Prefix) {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	next := func() netip.Prefix { return netip.PrefixFrom(addr4(20<<24+r.Uint32N(100<<24)), 8+r.IntN(17)).Masked() }
	return next(), next()
}

var shapes = []shape{
	hostShape("host-to-host", spread, func(i int) uint32 { return spread(i) ^ 0x5555 }),
	hostShape("one-destination", spread, func(int) uint32 { return 1<<24 + 1 }),
	hostShape("one-source", func(int) uint32 { return 1<<24 + 1 }, spread),
	{
		name: "wide-overlapping",
		rule: func(i int) Match { s, d := wide(i); return one(s, d, allowedPort) },
		flow: func(i int) (netip.Addr, netip.Addr) {
			s, d := wide(i)
			return s.Addr().Next(), d.Addr().Next()
		},
	},
}

func (s shape) rules(n int) []Match {
	ms := make([]Match, n)
	for i := range ms {
		ms[i] = s.rule(i)
	}
	return ms
}

// BenchmarkNewFlow is the cost of a new inbound flow by number and shape of
// rules: of the decision alone, and of In as a whole, which opens a flow in a
// full table for each hit.
func BenchmarkNewFlow(b *testing.B) {
	for _, sh := range shapes {
		for _, n := range []int{1, 100, 10_000, 1_000_000} {
			f, err := New(Config{Matches: sh.rules(n), Local: everywhere(), Limits: Limits{Flows: 4096}})
			if err != nil {
				b.Fatal(err)
			}
			flows := sh.flows(n)
			for _, port := range []uint16{allowedPort, refusedPort} {
				kind := "hit"
				if port == refusedPort {
					kind = "miss"
				}
				b.Run(fmt.Sprintf("%s/rules=%d/%s/decision", sh.name, n, kind), func(b *testing.B) {
					benchmarkDecision(b, f, flows, port)
				})
				b.Run(fmt.Sprintf("%s/rules=%d/%s/In", sh.name, n, kind), func(b *testing.B) {
					benchmarkIn(b, f, flows, port)
				})
			}
		}
	}
}

// ends are the addresses of a flow.
type ends struct{ src, dst netip.Addr }

// flows returns flows of many of the n rules: more than fit the fast caches
// with what the index says of them.
func (s shape) flows(n int) []ends {
	flows := make([]ends, 1<<16)
	for i := range flows {
		flows[i].src, flows[i].dst = s.flow(i * 7919 % n)
	}
	return flows
}

func benchmarkDecision(b *testing.B, f *Filter, flows []ends, port uint16) {
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e := &flows[i%len(flows)]
		if f.index.allows(ipproto.TCP, e.src, e.dst, port) != (port == allowedPort) {
			b.Fatal(e)
		}
	}
}

func benchmarkIn(b *testing.B, f *Filter, flows []ends, port uint16) {
	pkt := packet.Generate(packet.TCPHeader{
		Src: netip.AddrPortFrom(flows[0].src, 1), Dst: netip.AddrPortFrom(flows[0].dst, port), Flags: packet.TCPSyn,
	}, nil)
	src, dst, ports := pkt[12:16], pkt[16:20], pkt[20:]
	if flows[0].src.Is6() {
		src, dst, ports = pkt[8:24], pkt[24:40], pkt[40:]
	}
	var p packet.Parsed
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e := &flows[i%len(flows)]
		putAddr(src, e.src)
		putAddr(dst, e.dst)
		binary.BigEndian.PutUint16(ports, uint16(i/len(flows)))
		p.Decode(pkt)
		if f.In(&p, int64(i), 0).Response.IsDrop() == (port == allowedPort) {
			b.Fatal(e)
		}
	}
}

func putAddr(b []byte, a netip.Addr) {
	if a.Is4() {
		v := a.As4()
		copy(b, v[:])
		return
	}
	v := a.As16()
	copy(b, v[:])
}

// BenchmarkCompile is what a set of rules costs to make a filter of: time,
// memory while it is made and memory that stays, with the rules' own copy.
func BenchmarkCompile(b *testing.B) {
	for _, sh := range shapes {
		for _, n := range []int{10_000, 1_000_000} {
			rules := sh.rules(n)
			b.Run(fmt.Sprintf("%s/rules=%d", sh.name, n), func(b *testing.B) {
				var before, after runtime.MemStats
				var f *Filter
				for b.Loop() {
					f = nil
					runtime.GC()
					runtime.ReadMemStats(&before)
					start := time.Now()
					var err error
					if f, err = New(Config{Matches: rules}); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(time.Since(start).Seconds(), "s/compile")
					runtime.ReadMemStats(&after)
					b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/1e6, "MB-allocated")
					runtime.GC()
					runtime.ReadMemStats(&after)
					b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/1e6, "MB-kept")
				}
				runtime.KeepAlive(f)
			})
			runtime.KeepAlive(rules)
		}
	}
}
