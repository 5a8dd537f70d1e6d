package tstun_test

import (
	"net/netip"
	"sync"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

// TestHotSwapDropsNothingThatBothFiltersAccept: filters are swapped as fast as
// can be while packets flow both ways; what old and new rules allow passes
// without a gap, what neither allows never does.
func TestHotSwapDropsNothingThatBothFiltersAccept(t *testing.T) {
	r := newRig(t, 16)
	r.dev.OnWrite(func(b [][]byte, _ int) (int, error) { return len(b), nil })
	state := filter.NewAllowNone(nil).State()
	next := func(i int) {
		extra := to(port(uint16(1000+i%7)), ipproto.UDP) // differs from filter to filter
		f, err := filter.New(filter.Config{
			Matches: []filter.Match{to(port(80)), extra}, Local: local(), State: state, Keep: i%3 == 0,
		})
		if err != nil {
			t.Error(err)
			return
		}
		r.w.SetFilter(f)
	}
	next(0)
	stop := make(chan struct{})
	var swapper, writers sync.WaitGroup
	swapper.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				next(i)
			}
		}
	})
	const rounds, size = 3000, 16
	for g := range 2 {
		writers.Go(func() {
			buf := make([][]byte, size)
			for i := range rounds {
				for j := range buf {
					pkt := udp(peer4, uint16(g*1000+j), host4, 80, "allowed by all")
					switch j % 4 {
					case 1:
						pkt = udp(peer4, uint16(i), host4, 81, "allowed by none")
					case 2:
						flags := packet.TCPAck
						if i == 0 {
							flags = packet.TCPSyn
						}
						pkt = tcp(peer4, uint16(g*1000+j), host4, 80, flags, "an open connection")
					}
					buf[j] = append(make([]byte, offset), pkt...)
				}
				if _, err := r.w.Write(buf, offset); err != nil {
					t.Error(err)
				}
			}
		})
	}
	soon(t, "the writers", writers.Wait)
	close(stop)
	swapper.Wait()
	c := r.w.Counters().In
	if want := uint64(2 * rounds * size * 3 / 4); c.Packets != want || c.Drops[filter.ReasonNoRule] != want/3 || c.Dropped() != want/3 {
		t.Errorf("counted %+v, want %d passed and %d refused by the rules", c, want, want/3)
	}
}

// TestSwapKeepsTheAnswersToTheHost under every way to change the rules.
func TestSwapKeepsTheAnswersToTheHost(t *testing.T) {
	for name, config := range map[string]func(*filter.State) filter.Config{
		"re-judge": func(s *filter.State) filter.Config { return filter.Config{State: s} },
		"keep":     func(s *filter.State) filter.Config { return filter.Config{State: s, Keep: true} },
		"shields":  func(s *filter.State) filter.Config { return filter.Config{State: s, ShieldsUp: true} },
	} {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, host, peer netip.Addr) {
				r := newRig(t, 1)
				f := r.allow()
				r.fromHost(tcp(host, 4000, peer, 443, packet.TCPSyn, ""))
				for range 3 {
					c := config(f.State())
					c.Local = local()
					next, err := filter.New(c)
					if err != nil {
						t.Fatal(err)
					}
					r.w.SetFilter(next)
					answer := tcp(peer, 443, host, 4000, packet.TCPSynAck, "")
					wantPackets(t, "answer", r.fromPeer(answer), answer)
				}
			})
		})
	}
}
