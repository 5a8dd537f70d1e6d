package filter

import (
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"tstun/ipproto"
)

// refusalShapes are shapes of which some are as bad as rules can be: many
// rules name the source, many the destination, and none allows the flow. Those
// that end in "-apart" ask for a port that each rule allows, of a source and a
// destination that no rule has both.
var refusalShapes = append([]shape{
	nestedShape("nested-25x25", 25, 25, nested4),
	nestedShape("nested-100x100-v6", 100, 100, nested6),
	nestedShape("nested-25-under-one", 25, 1, nested4),
	{
		name: "peer-in-groups",
		rule: func(i int) Match { return groups(inGroup(peerOf, i), host(hostOf)) },
		flow: peerToHost,
	},
	{
		name: "host-and-peer-in-groups",
		rule: func(i int) Match { return groups(inGroup(peerOf, i), host(hostOf), host(spread(i)^0x5555)) },
		flow: peerToHost,
	},
	{
		name: "groups-a-port-each",
		rule: func(i int) Match {
			m := groups(inGroup(peerOf, i), host(hostOf), host(spread(i)^0x5555))
			for j := range m.Dsts {
				m.Dsts[j].Ports = PortRange{uint16(1000 + 2*i), uint16(1000 + 2*i)}
			}
			return m
		},
		flow: peerToHost,
	},
	{
		name: "groups-apart",
		rule: func(i int) Match {
			if i%2 == 0 {
				return apart(groups(inGroup(peerOf, i), host(spread(i)^0x5555)))
			}
			return apart(groups(inGroup(1<<24+9, i), host(hostOf)))
		},
		flow: peerToHost,
	},
}, shapes...)

const peerOf, hostOf = 1<<24 + 1, 1<<24 + 2

func peerToHost(int) (netip.Addr, netip.Addr) { return addr4(peerOf), addr4(hostOf) }

// inGroup returns a group of the peer and one other host.
func inGroup(peer uint32, i int) []netip.Prefix { return []netip.Prefix{host(peer), host(spread(i))} }

func groups(srcs []netip.Prefix, dsts ...netip.Prefix) Match {
	m := Match{Srcs: srcs}
	for _, d := range dsts {
		m.Dsts = append(m.Dsts, NetPortRange{d, PortRange{allowedPort, allowedPort}})
	}
	return m
}

// apart makes m allow the refused port.
func apart(m Match) Match {
	for i := range m.Dsts {
		m.Dsts[i].Ports = PortRange{refusedPort, refusedPort}
	}
	return m
}

// nested4 and nested6 are the i-th of prefixes each of which holds the next.
func nested4(side byte, i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{30 + side, 0, 0, 1}), 8+i).Masked()
}

func nested6(side byte, i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, side, 15: 1}), 16+i).Masked()
}

// nestedShape is rules from each of some nested prefixes to each of others.
// Each rule has a source of its own besides, so no two are alike.
func nestedShape(name string, srcs, dsts int, nested func(side byte, i int) netip.Prefix) shape {
	return shape{
		name: name,
		rule: func(i int) Match {
			return groups([]netip.Prefix{nested(0, i%srcs), host(spread(i))}, nested(1, i/srcs%dsts), host(spread(i)^0x5555))
		},
		flow: func(int) (netip.Addr, netip.Addr) {
			return nested(0, srcs-1).Addr().Next(), nested(1, dsts-1).Addr().Next()
		},
	}
}

// BenchmarkRefusal is the cost of refusing a flow, by the index and by the
// plain scan: the least of many rounds that take turns.
func BenchmarkRefusal(b *testing.B) { benchmarkTurns(b, refusedPort, false) }

// BenchmarkAllowed is the cost of allowing one, where the rules do.
func BenchmarkAllowed(b *testing.B) { benchmarkTurns(b, allowedPort, true) }

func benchmarkTurns(b *testing.B, port uint16, allowed bool) {
	for _, sh := range refusalShapes {
		for _, n := range []int{1, 2, 3, 5, 10, 100, 1000, 10_000} {
			rules, err := copyRules(sh.rules(n))
			if err != nil {
				b.Fatal(err)
			}
			if src, dst := sh.flow(0); (rules.match(ipproto.TCP, src, dst, port) != noRule) != allowed {
				continue
			}
			b.Run(fmt.Sprintf("%s/rules=%d", sh.name, n), func(b *testing.B) {
				x, flows := newIndex(rules), sh.flows(n)
				scan, index := math.Inf(1), math.Inf(1)
				for i := 0; b.Loop(); i += 997 {
					scan = min(scan, round(b, flows, i, allowed, func(e ends) bool {
						return rules.match(ipproto.TCP, e.src, e.dst, port) != noRule
					}))
					index = min(index, round(b, flows, i, allowed, func(e ends) bool {
						return x.allows(ipproto.TCP, e.src, e.dst, port)
					}))
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(scan, "scan-ns")
				b.ReportMetric(index, "index-ns")
				b.ReportMetric(index/scan, "index/scan")
			})
		}
	}
}

// round returns the nanoseconds that a decision takes, on average over the
// decisions of 200 microseconds from flow i on.
func round(b *testing.B, flows []ends, i int, want bool, allows func(ends) bool) float64 {
	start, n := time.Now(), 0
	for {
		for range 4 {
			if e := flows[(i+n)%len(flows)]; allows(e) != want {
				b.Fatal(e)
			}
			n++
		}
		if n%64 == 0 || n < 64 {
			if d := time.Since(start); d > 200*time.Microsecond {
				return float64(d) / float64(n)
			}
		}
	}
}

// BenchmarkIndexBuild is the least time that an index takes to make, and the
// memory that it keeps, without the rules.
func BenchmarkIndexBuild(b *testing.B) {
	for _, sh := range refusalShapes {
		for _, n := range []int{100, 10_000} {
			b.Run(fmt.Sprintf("%s/rules=%d", sh.name, n), func(b *testing.B) {
				rules, err := copyRules(sh.rules(n))
				if err != nil {
					b.Fatal(err)
				}
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				x := newIndex(rules)
				runtime.GC()
				runtime.ReadMemStats(&after)
				kept := float64(int64(after.HeapAlloc) - int64(before.HeapAlloc))
				least := time.Duration(math.MaxInt64)
				for b.Loop() {
					start := time.Now()
					x = newIndex(rules)
					least = min(least, time.Since(start))
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(least.Seconds()*1e3, "ms")
				b.ReportMetric(kept/1e3, "kB-kept")
				runtime.KeepAlive(x)
				runtime.KeepAlive(rules)
			})
		}
	}
}
