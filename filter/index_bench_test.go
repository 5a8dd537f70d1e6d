package filter

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"tstun/ipproto"
)

// A shape makes n rules and flows that hit and miss them.
type shape struct {
	name  string
	rules func(n int) []Match
	hit   func(n, i int) flowOf
	miss  func(n, i int) flowOf
}

type flowOf struct {
	src, dst netip.Addr
	port     uint16
}

func v4(n uint32) netip.Addr { return addr4(n) }

func one(src, dst netip.Prefix, port uint16) Match {
	return Match{Srcs: []netip.Prefix{src}, Dsts: []NetPortRange{{dst, PortRange{port, port}}}}
}

func host(n uint32) netip.Prefix { return netip.PrefixFrom(v4(n), 32) }

// spread scatters i over the addresses of 10.0.0.0/8.
func spread(i int) uint32 { return 10<<24 | uint32(i)*2654435761>>8 }

func wideOf(i int) (netip.Prefix, netip.Prefix) {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	p := func() netip.Prefix {
		return netip.PrefixFrom(v4(r.Uint32()), 8+r.IntN(17)).Masked()
	}
	return p(), p()
}

var shapes = []shape{
	{
		name: "host-to-host",
		rules: func(n int) (ms []Match) {
			for i := range n {
				ms = append(ms, one(host(spread(i)), host(spread(i)^0x5555), 80))
			}
			return ms
		},
		hit:  func(n, i int) flowOf { return flowOf{v4(spread(i % n)), v4(spread(i%n) ^ 0x5555), 80} },
		miss: func(n, i int) flowOf { return flowOf{v4(spread(i % n)), v4(spread((i+1)%n+n*(1/n)) ^ 0x5555), 81} },
	},
	{
		name: "wide overlapping",
		rules: func(n int) (ms []Match) {
			for i := range n {
				s, d := wideOf(i)
				ms = append(ms, one(s, d, 80))
			}
			return ms
		},
		hit: func(n, i int) flowOf {
			s, d := wideOf(i % n)
			return flowOf{s.Addr().Next(), d.Addr().Next(), 80}
		},
		miss: func(n, i int) flowOf {
			s, d := wideOf(i % n)
			return flowOf{s.Addr().Next(), d.Addr().Next(), 81}
		},
	},
	{
		name: "one destination",
		rules: func(n int) (ms []Match) {
			for i := range n {
				ms = append(ms, one(host(spread(i)), host(1<<24+1), 80))
			}
			return ms
		},
		hit:  func(n, i int) flowOf { return flowOf{v4(spread(i % n)), v4(1<<24 + 1), 80} },
		miss: func(n, i int) flowOf { return flowOf{v4(spread(i % n)), v4(1<<24 + 1), 81} },
	},
	{
		name: "one source",
		rules: func(n int) (ms []Match) {
			for i := range n {
				ms = append(ms, one(host(1<<24+1), host(spread(i)), 80))
			}
			return ms
		},
		hit:  func(n, i int) flowOf { return flowOf{v4(1<<24 + 1), v4(spread(i % n)), 80} },
		miss: func(n, i int) flowOf { return flowOf{v4(1<<24 + 1), v4(spread(i % n)), 81} },
	},
}

func BenchmarkIndex(b *testing.B) {
	for _, sh := range shapes {
		for _, n := range []int{1, 100, 10_000, 1_000_000} {
			rules := scan(sh.rules(n))
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			x := newIndex(rules)
			took := time.Since(start)
			runtime.GC()
			runtime.ReadMemStats(&after)
			for kind, f := range map[string]func(n, i int) flowOf{"hit": sh.hit, "miss": sh.miss} {
				flows := make([]flowOf, 1<<16)
				for i := range flows {
					flows[i] = f(n, i*7919)
				}
				b.Run(fmt.Sprintf("%s/rules=%d/%s", sh.name, n, kind), func(b *testing.B) {
					i, want := 0, kind == "hit"
					for b.Loop() {
						fl := &flows[i&(len(flows)-1)]
						i++
						if x.allows(ipproto.TCP, fl.src, fl.dst, fl.port) != want {
							b.Fatal(fl)
						}
					}
					b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "bytes/rule")
					b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/1e6, "MB-allocated")
					b.ReportMetric(took.Seconds(), "s-compile")
				})
			}
			runtime.KeepAlive(x)
		}
	}
}
