package tstun_test

import (
	"net/netip"
	"sync"
	"testing"

	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

// TestHotSwapDropsNothingThatBothFiltersAccept: filters are swapped as fast as
// can be while packets flow both ways; what old and new rules allow passes
// without a gap, what neither allows never does.
func TestHotSwapDropsNothingThatBothFiltersAccept(t *testing.T) {
	r := rig.New(t, 16)
	r.Dev.OnWrite(func(b [][]byte, _ int) (int, error) { return len(b), nil })
	state := filter.NewAllowNone(nil).State()
	next := func(i int) {
		extra := rig.To(rig.Port(uint16(1000+i%7)), ipproto.UDP) // differs from filter to filter
		f, err := filter.New(filter.Config{
			Matches: []filter.Match{rig.To(rig.Port(80)), extra}, Local: rig.Local(), State: state, Keep: i%3 == 0,
		})
		if err != nil {
			t.Error(err)
			return
		}
		r.W.SetFilter(f)
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
					pkt := craft.UDP(peer4, uint16(g*1000+j), host4, 80, "allowed by all")
					switch j % 4 {
					case 1:
						pkt = craft.UDP(peer4, uint16(i), host4, 81, "allowed by none")
					case 2:
						flags := packet.TCPAck
						if i == 0 {
							flags = packet.TCPSyn
						}
						pkt = craft.TCP(peer4, uint16(g*1000+j), host4, 80, flags, "an open connection")
					}
					buf[j] = append(make([]byte, offset), pkt...)
				}
				if _, err := r.W.Write(buf, offset); err != nil {
					t.Error(err)
				}
			}
		})
	}
	rig.Soon(t, "the writers", writers.Wait)
	close(stop)
	swapper.Wait()
	c := r.W.Counters().In
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
			rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
				r := rig.New(t, 1)
				f := r.Allow()
				r.FromHost(craft.TCP(host, 4000, peer, 443, packet.TCPSyn, ""))
				for range 3 {
					c := config(f.State())
					c.Local = rig.Local()
					next, err := filter.New(c)
					if err != nil {
						t.Fatal(err)
					}
					r.W.SetFilter(next)
					answer := craft.TCP(peer, 443, host, 4000, packet.TCPSynAck, "")
					rig.WantPackets(t, "answer", r.FromPeer(answer), answer)
				}
			})
		})
	}
}
