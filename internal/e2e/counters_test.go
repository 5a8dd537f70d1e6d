package e2e_test

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/ipproto"
	"tstun/packet"
)

// TestBooks: hosts, peers, injections and changes of the configuration all at
// once, and each packet that came is passed, dropped or held.
func TestBooks(t *testing.T) {
	dev := testdev.New(16)
	w := tstun.Wrap(nil, dev)
	w.SetStatisticsEnabled(true)
	w.SetReject(tstun.RejectReset)
	mk := func(s *filter.State, n int) *filter.Filter {
		c := filter.Config{Matches: []filter.Match{rig.To(rig.Port(uint16(80+n%3)), ipproto.UDP, ipproto.TCP)}, Local: rig.Local(), State: s, Keep: n%4 == 0, ShieldsUp: n%7 == 0, Limits: filter.Limits{Flows: 64, Fragments: 8}}
		f, err := filter.New(c)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := mk(nil, 1)
	w.SetFilter(f)
	stop := make(chan struct{})
	var reader, changer, writers sync.WaitGroup
	var mu sync.Mutex
	var came uint64
	reader.Go(func() {
		bufs, sizes := rig.Buffers(16), make([]int, 16)
		for {
			if _, err := w.Read(bufs, sizes, offset); err != nil {
				return
			}
		}
	})
	changer.Go(func() {
		f := f
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			f = mk(f.State(), n)
			w.SetFilter(f)
			var ps []tstun.Peer
			for i := range 4 {
				ps = append(ps, tstun.Peer{ID: uint64((i+n)%4 + 1), Prefixes: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, byte(i + 2)}), 32)}, Jailed: (n+i)%5 == 0, NAT: nil})
				if n%2 == 0 {
					ps[i].NAT = []tstun.NAT{{Host: host4, As: netip.MustParseAddr("100.99.0.1")}}
				}
			}
			if n%6 == 0 {
				ps = nil
			}
			if err := w.SetPeers(ps); err != nil {
				t.Error(err)
			}
			c := w.Counters()
			mu.Lock()
			_ = c
			mu.Unlock()
			w.ExtractStatistics()
			w.IdleDuration()
			if n%50 == 0 {
				w.InjectInboundCopy(craft.UDP(peer4, 1, host4, 2, "i"))
				mu.Lock()
				came++
				mu.Unlock()
			}
		}
	})
	for g := range 6 {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for range 1500 {
				var pkts [][]byte
				for range 1 + rng.IntN(6) {
					src := netip.AddrFrom4([4]byte{100, 64, 0, byte(rng.IntN(5) + 2)})
					dst := host4
					if rng.IntN(3) == 0 {
						dst = netip.MustParseAddr("100.99.0.1")
					}
					switch rng.IntN(6) {
					case 0, 1, 2:
						fr := craft.Fragments(craft.Datagram(src, 5, dst, uint16(79+rng.IntN(5)), 2500), 800, uint16(rng.IntN(40)))
						rng.Shuffle(len(fr), func(i, j int) { fr[i], fr[j] = fr[j], fr[i] })
						pkts = append(pkts, fr[:1+rng.IntN(len(fr))]...)
					case 3:
						pkts = append(pkts, craft.UDP(src, uint16(rng.IntN(300)), dst, uint16(79+rng.IntN(5)), "x"))
					case 4:
						pkts = append(pkts, craft.TSMPPing(src, dst))
					case 5:
						pkts = append(pkts, craft.TCP(src, uint16(rng.IntN(300)), dst, uint16(79+rng.IntN(5)), packet.TCPSyn, ""))
					}
				}
				if n, err := w.Write(rig.Wire(pkts...), offset); err != nil || n != len(pkts) {
					t.Errorf("Write: %d, %v", n, err)
					return
				}
				mu.Lock()
				came += uint64(len(pkts))
				mu.Unlock()
				if rng.IntN(20) == 0 {
					dev.Written()
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	changer.Wait()
	c := w.Counters()
	mu.Lock()
	t.Logf("%d came; %d passed, %d dropped, %d held", came, c.In.Packets, c.In.Dropped(), c.In.Held)
	if c.In.Packets+c.In.Dropped()+c.In.Held != came {
		t.Error("books are wrong")
	}
	mu.Unlock()
	w.Close()
	c = w.Counters()
	if c.In.Packets+c.In.Dropped() != came || c.In.Held != 0 {
		t.Errorf("after Close: %+v, want %d", c.In, came)
	}
	reader.Wait()
}
