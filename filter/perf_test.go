package filter_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

func decoded(ev event) *packet.Parsed {
	p := new(packet.Parsed)
	p.Decode(ev.b)
	return p
}

func TestNoAllocation(t *testing.T) {
	e := ends4(80, 5000)
	f := newFilter(t, filter.Config{
		Matches: []filter.Match{rule(port(80))}, Logf: t.Logf, LogIPs: []netip.Prefix{},
		Limits: filter.Limits{Flows: 100, Fragments: 10},
	})
	big := packet.Generate(packet.UDPHeader{Src: e.peer, Dst: e.host}, make([]byte, 64))
	packets := map[string]event{
		"udp in": e.udpIn(), "udp out": e.udpOut(), "tcp in": e.tcpIn(syn), "tcp out": e.tcpOut(ack),
		"refused": ends4(22, 1).udpIn(), "ping in": e.pingIn(1), "ping out": e.pingOut(1), "pong in": e.pongIn(1),
		"icmp error": errorIn("100.99.0.1", e.host.Addr(), e.udpOut()), "v6": ends6(80, 5000).udpIn(),
		"first fragment": cut(big, 1, 0, 32), "later fragment": cut(big, 1, 32, 99),
		"multicast": in(udpBetween(peer4, "224.0.0.1")), "gre": e.plainOut(ipproto.GRE),
		"tsmp ping": in(packet.Generate(packet.TSMPPing{IPHeader: packet.IPHeader{Src: e.peer.Addr(), Dst: e.host.Addr(), Proto: ipproto.TSMP}}, nil)),
	}
	for name, ev := range packets {
		p := decoded(ev)
		now := int64(0)
		n := testing.AllocsPerRun(200, func() {
			now += int64(minute)
			if ev.out {
				f.Out(p, now, filter.LogDrops|filter.LogAccepts)
				f.Record(p, now)
			} else {
				f.In(p, now, filter.LogDrops|filter.LogAccepts)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
	n := uint16(0)
	p := decoded(e.udpIn())
	if a := testing.AllocsPerRun(1000, func() {
		n++
		p.Src = netip.AddrPortFrom(p.Src.Addr(), n)
		f.In(p, 0, 0)
	}); a != 0 {
		t.Errorf("new flows at a full table: %v allocations", a)
	}
}

// TestConcurrentUse lets several goroutines judge in both directions while
// the rules change, under the race detector if it is on. What both old and
// new rules allow is never dropped.
func TestConcurrentUse(t *testing.T) {
	f := newFilter(t, filter.Config{Matches: []filter.Match{rule(port(80)), rule(port(81))}, Limits: filter.Limits{Flows: 200}})
	var mu sync.RWMutex
	current := func() *filter.Filter {
		mu.RLock()
		defer mu.RUnlock()
		return f
	}
	var wg sync.WaitGroup
	for w := range uint16(3) {
		wg.Go(func() {
			always, sometimes := ends4(80, 1000+w), ends6(81, 1000+w)
			steady := []*packet.Parsed{decoded(always.udpIn()), decoded(always.tcpIn(ack))}
			for i := range int64(3000) {
				for _, p := range steady {
					if v := current().In(p, i, 0); v.Response != filter.Accept {
						t.Errorf("dropped: %v", v.Reason)
						return
					}
				}
				g := current()
				for _, ev := range []event{sometimes.udpIn(), sometimes.udpOut(), sometimes.pingOut(w), sometimes.pongIn(w),
					ends4(uint16(i), 99).tcpOut(syn), cut(sometimes.udpIn().b, uint32(i), 0, 16)} {
					judge(g, 0, ev, 0)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 300 {
			c := filter.Config{State: f.State(), Matches: []filter.Match{rule(port(80))}, Local: local, Keep: i%3 == 0}
			if i%2 == 0 {
				c.Matches = append(c.Matches, rule(port(81)))
			}
			next, err := filter.New(c)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			f = next
			mu.Unlock()
		}
	})
	wg.Wait()
	if s := f.State().Stats().Flows; s.Entries > 200 {
		t.Errorf("%+v", s)
	}
}

func BenchmarkIn(b *testing.B) {
	e := ends4(80, 5000)
	run := func(name string, f *filter.Filter, p *packet.Parsed, step func(i uint16)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := uint16(0)
			for b.Loop() {
				i++
				step(i)
				f.In(p, 0, 0)
			}
		})
	}
	same := func(uint16) {}
	allow := filter.Config{Matches: []filter.Match{rule(port(80))}}
	f := newFilter(b, allow)
	run("established/udp", f, decoded(e.udpIn()), same)
	run("established/tcp", f, decoded(e.tcpIn(ack)), same)
	run("refused", f, decoded(ends4(22, 5000).udpIn()), same)
	for _, n := range []int{1, 100, 10_000} {
		c := filter.Config{}
		for i := range n {
			m := rule(port(80))
			if i < n-1 {
				m.Srcs = nets(fmt.Sprintf("10.%d.%d.1/32", i>>8, i&255))
			}
			c.Matches = append(c.Matches, m)
		}
		p := decoded(e.udpIn())
		run(fmt.Sprintf("new/%d rules", n), newFilter(b, c), p, func(i uint16) {
			p.Src = netip.AddrPortFrom(p.Src.Addr(), i)
		})
	}
}

func BenchmarkOut(b *testing.B) {
	f := newFilter(b, filter.Config{})
	p := decoded(ends4(80, 5000).udpOut())
	b.ReportAllocs()
	for b.Loop() {
		f.Out(p, 0, 0)
		f.Record(p, 0)
	}
}
