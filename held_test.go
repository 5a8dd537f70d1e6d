package tstun_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/netlogtype"
	"tstun/packet"
)

// TestFragmentsInAnyOrder: a datagram comes through whole, in its order, in
// whatever order its fragments come, and is counted under its flow.
func TestFragmentsInAnyOrder(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		frags := craft.Fragments(craft.Datagram(peer, 5, host, 80, 8000), 1232, 1)
		if len(frags) != 7 {
			t.Fatalf("%d fragments", len(frags))
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for round := range 40 {
			order := rng.Perm(len(frags))
			if round == 0 {
				order = []int{6, 5, 4, 3, 2, 1, 0}
			}
			r := rig.New(t, 8)
			r.Allow(rig.To(rig.Port(80)))
			r.W.SetStatisticsEnabled(true)
			var got [][]byte
			for i, n := range order {
				pkts := r.FromPeer(frags[n])
				got = append(got, pkts...)
				first := slices.Index(order, 0)
				switch {
				case i < first && len(pkts) != 0, i == first && len(pkts) != 1+first, i > first && len(pkts) != 1:
					t.Fatalf("order %v: %d packets at number %d", order, len(pkts), i)
				}
				held := 0
				if i < first {
					held = i + 1
				}
				r.WantHeld(fmt.Sprint(order), i+1, held, nil)
			}
			late := slices.Sorted(slices.Values(order[:slices.Index(order, 0)]))
			var want [][]byte
			for _, n := range slices.Concat([]int{0}, late, order[len(late)+1:]) {
				want = append(want, frags[n])
			}
			rig.WantPackets(t, fmt.Sprint(order), got, want...)
			wantStats(t, fmt.Sprint(order), r.W.ExtractStatistics(), stats{
				rig.Connection(ipproto.UDP, host, 80, peer, 5): {RxPackets: 7, RxBytes: craft.Total(frags)},
			})
		}
	})
}

// TestFragmentsInOneBatch: held and released within one Write.
func TestFragmentsInOneBatch(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		frags := craft.Fragments(craft.Datagram(peer, 5, host, 80, 100), 32, 1)
		other := craft.UDP(peer, 5, host, 80, "between")
		r := rig.New(t, 8)
		r.Allow(rig.To(rig.Port(80)))
		rig.WantPackets(t, "in", r.FromPeer(frags[3], frags[1], other, frags[0], other, frags[2]), other, frags[0], frags[1], frags[3], other, frags[2])
		r.WantHeld("in the end", 6, 0, nil)
	})
}

// TestHeldPacketsAreCopies: the buffers of Write stay the caller's.
func TestHeldPacketsAreCopies(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		frags := craft.Fragments(craft.Datagram(peer, 5, host, 80, 100), 64, 1)
		for _, at := range []int{0, 7, offset, offset + 13} {
			r := rig.New(t, 1)
			r.Allow(rig.To(rig.Port(80)))
			var got [][]byte
			r.Dev.OnWrite(func(bufs [][]byte, offset int) (int, error) {
				for _, b := range bufs {
					got = append(got, bytes.Clone(b[offset:]))
					clear(b) // a device may write in front, and over the packet
				}
				return len(bufs), nil
			})
			for i, f := range [][]byte{frags[1], frags[0]} {
				buf := append(make([]byte, i*at), f...)
				buf = append(buf, "not of the packet"...)
				if n, err := r.W.Write([][]byte{buf}, i*at); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				clear(buf)
			}
			rig.WantPackets(t, fmt.Sprint("offset ", at), got, frags[0], frags[1])
		}
	})
}

// TestRefusedFirstDropsWhatWaits: under its reason, and that of the stage that
// refused it.
func TestRefusedFirstDropsWhatWaits(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		frags := craft.Fragments(craft.Datagram(peer, 5, host, 81, 100), 32, 1)
		tiny := craft.Fragments(craft.TCP(peer, 5, host, 80, packet.TCPSyn, string(make([]byte, 100))), 40, 1)
		tiny[0] = craft.Identified(craft.Fragment(craft.TCP(peer, 5, host, 80, packet.TCPSyn, ""), 0, 8, true), 1)
		refuse := func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
			if p.IPProto == ipproto.Fragment {
				return filter.Accept
			}
			return filter.Drop
		}
		for name, tt := range map[string]struct {
			frags [][]byte
			set   func(r *rig.Rig)
			want  filter.Reason
		}{
			"rules":              {frags, func(r *rig.Rig) { r.Allow(rig.To(rig.Port(80))) }, filter.ReasonNoRule},
			"tiny":               {tiny, func(r *rig.Rig) { r.Allow(rig.To(rig.Port(80))) }, filter.ReasonFragmentTiny},
			"before":             {frags, func(r *rig.Rig) { r.Allow(rig.To(rig.Port(81))); r.W.PreFilterIn = refuse }, filter.ReasonHook},
			"after":              {frags, func(r *rig.Rig) { r.Allow(rig.To(rig.Port(81))); r.W.PostFilterIn = refuse }, filter.ReasonHook},
			"shields":            {frags, func(r *rig.Rig) {}, filter.ReasonShieldsUp},
			"no filter any more": {frags, func(r *rig.Rig) { r.Allow() }, filter.ReasonNoFilter},
		} {
			r := rig.New(t, 8)
			tt.set(r)
			if tt.want == filter.ReasonShieldsUp {
				f, err := filter.New(filter.Config{Local: rig.Local(), Matches: []filter.Match{rig.Everything()}, ShieldsUp: true})
				if err != nil {
					t.Fatal(err)
				}
				r.W.SetFilter(f)
			}
			r.W.SetReject(tstun.RejectReset)
			rig.WantPackets(t, name, r.FromPeer(tt.frags[2], tt.frags[1]))
			r.WantHeld(name, 2, 2, nil)
			if tt.want == filter.ReasonNoFilter {
				r.W.SetFilter(nil)
			}
			rig.WantPackets(t, name, r.FromPeer(tt.frags[0]))
			r.WantHeld(name, 3, 0, map[filter.Reason]uint64{tt.want: 3})
			if out := r.W.Counters().Out; out.Packets != 0 {
				t.Errorf("%s: %+v", name, out)
			}
		}
	})
}

// TestHeldFragmentsOverlap: what was held is judged like what comes in order.
func TestHeldFragmentsOverlap(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		pkt := craft.Datagram(peer, 5, host, 80, 92)
		at := func(at, n int, more bool) []byte { return craft.Fragment(pkt, at, n, more) }
		r := rig.New(t, 8)
		r.Allow(rig.To(rig.Port(80)))
		rig.WantPackets(t, "held", r.FromPeer(at(24, 24, true), at(8, 8, true), at(48, 52, false), at(32, 16, true)))
		rig.WantPackets(t, "released", r.FromPeer(at(0, 32, true)), at(0, 32, true), at(32, 16, true), at(48, 52, false))
		r.WantHeld("overlaps", 5, 0, map[filter.Reason]uint64{filter.ReasonFragmentOverlap: 2})
		rig.WantPackets(t, "another first", r.FromPeer(at(0, 24, true), at(24, 8, true)))
		r.WantHeld("overlaps", 7, 0, map[filter.Reason]uint64{filter.ReasonFragmentOverlap: 4})
	})
}

// TestHeldFragmentsExpire at the next packet of either direction, at a
// snapshot and at Close, and not before their time.
func TestHeldFragmentsExpire(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		frags := craft.Fragments(craft.Datagram(peer, 5, host, 80, 100), 64, 1)
		for name, next := range map[string]func(r *rig.Rig) int{
			"inbound":  func(r *rig.Rig) int { r.FromPeer(craft.UDP(peer, 5, host, 80, "next")); return 1 },
			"outbound": func(r *rig.Rig) int { r.FromHost(craft.UDP(host, 5, peer, 80, "next")); return 0 },
			"snapshot": func(r *rig.Rig) int { return 0 },
			"close":    func(r *rig.Rig) int { r.W.Close(); return 0 },
		} {
			synctest.Test(t, func(t *testing.T) {
				r := rig.New(t, 1)
				defer r.W.Close()
				f, err := filter.New(filter.Config{Matches: []filter.Match{rig.To(rig.Port(80))}, Local: rig.Local(), LogIPs: []netip.Prefix{netip.PrefixFrom(host, 8).Masked(), netip.PrefixFrom(peer, 8).Masked()}, Logf: func(format string, args ...any) {
					if s := fmt.Sprintf(format, args...); bytes.Contains([]byte(s), []byte("orphan")) {
						name += " logged"
					}
				}})
				if err != nil {
					t.Fatal(err)
				}
				r.W.SetFilter(f)
				before := name
				r.FromPeer(frags[1])
				time.Sleep(2*time.Second - 20*time.Millisecond)
				r.WantHeld(before+", not yet", 1, 1, nil)
				if before != "close" {
					time.Sleep(20 * time.Millisecond)
				}
				more := next(r)
				r.WantHeld(before, 1+more, 0, map[filter.Reason]uint64{filter.ReasonFragmentOrphan: 1})
				if name != before+" logged" {
					t.Errorf("%s: the log has %q", before, name)
				}
				if before == "close" {
					return
				}
				rig.WantPackets(t, before, r.FromPeer(frags[0]), frags[0])
				rig.WantPackets(t, before, r.FromPeer(frags[1]), frags[1])
			})
		}
	})
}

// TestNothingIsHeldAfterClose: a Write that Close overtakes holds nothing back.
func TestNothingIsHeldAfterClose(t *testing.T) {
	r := rig.New(t, 1)
	r.Allow(rig.To(rig.Port(80)))
	frags := craft.Fragments(craft.Datagram(peer4, 5, host4, 80, 100), 64, 1)
	r.W.PreFilterIn = func(*packet.Parsed, *tstun.Wrapper) filter.Response { r.W.Close(); return filter.Accept }
	_, _ = r.W.Write(rig.Wire(frags[1]), offset)
	r.WantHeld("after Close", 1, 0, map[filter.Reason]uint64{filter.ReasonFragmentOrphan: 1})
}

// TestHeldFragmentsAreBounded: by datagram, by peer and in all; a peer that
// floods takes nothing from another.
func TestHeldFragmentsAreBounded(t *testing.T) {
	const most, each, beside = 1 << 20, 64, 256
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		synctest.Test(t, func(t *testing.T) {
			r := rig.New(t, 1)
			defer r.W.Close()
			r.Allow(rig.To(rig.Port(80)))
			r.Dev.OnWrite(func(b [][]byte, _ int) (int, error) { return len(b), nil })
			late := craft.Fragments(craft.Datagram(peer, 5, host, 80, 1500), 1232, 1)[1]
			for range each + 6 {
				r.FromPeer(late)
			}
			r.WantHeld("one datagram", each+6, each, map[filter.Reason]uint64{filter.ReasonFragmentOrphan: 6})

			cost := len(late) + beside
			for id := range uint16(10_000) {
				r.FromPeer(craft.Identified(late, 100+id))
			}
			held := int(r.W.Counters().In.Held)
			if held*cost > most || (held+1)*cost <= most {
				t.Errorf("one peer has %d bytes held, want %d", held*cost, most)
			}
			for n := range 50 { // peers that all flood
				from := addrPlus(peer, 1+n)
				for id := range uint16(1000) {
					r.FromPeer(craft.Fragments(craft.Datagram(from, 5, host, 80, 1500), 1232, id)[1])
				}
			}
			held = int(r.W.Counters().In.Held)
			if held*cost > most {
				t.Errorf("%d bytes are held", held*cost)
			}
			frags := craft.Fragments(craft.Datagram(addrPlus(peer, 100), 5, host, 80, 8000), 1232, 7)
			before := r.W.Counters().In
			r.FromPeer(frags[1:]...)
			r.FromPeer(frags[0])
			after := r.W.Counters().In
			if got := after.Packets - before.Packets; got != 7 {
				t.Errorf("another peer got %d of 7 fragments through", got)
			}
			time.Sleep(3 * time.Second)
			r.FromPeer(late) // there is room again
			if c := r.W.Counters().In; c.Held != 1 {
				t.Errorf("when all have expired: %+v", c)
			}
		})
	})
}

// addrPlus returns the address n further on; of IPv6, in another /64.
func addrPlus(a netip.Addr, n int) netip.Addr {
	if a.Is4() {
		b := a.As4()
		b[3] += byte(n)
		return netip.AddrFrom4(b)
	}
	b := a.As16()
	b[6] += byte(n)
	return netip.AddrFrom16(b)
}

// TestSharesOfHeldFragmentsArePeers: with SetPeers, all addresses behind a peer
// have one share, and another peer loses nothing by them.
func TestSharesOfHeldFragmentsArePeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rig.New(t, 1)
		defer r.W.Close()
		r.Allow(rig.To(rig.Port(80)))
		if err := r.W.SetPeers([]tstun.Peer{{ID: 1, Prefixes: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/24")}}}); err != nil {
			t.Fatal(err)
		}
		other := netip.MustParseAddr("100.64.1.1")
		late := func(from netip.Addr, id int) []byte {
			return craft.Fragments(craft.Datagram(from, 5, host4, 80, 1500), 1232, uint16(id))[1]
		}
		mine := (1<<20)/(len(late(other, 0))+256)/2 + 1 // half of all
		for id := range mine {
			r.FromPeer(late(other, id))
		}
		for n := range 50 {
			for id := range 200 {
				r.FromPeer(late(addrPlus(peer4, n), id))
			}
		}
		for id := range mine {
			first := craft.Fragments(craft.Datagram(other, 5, host4, 80, 1500), 1232, uint16(id))[0]
			rig.WantPackets(t, "the other peer's", r.FromPeer(first), first, late(other, id))
		}
	})
}

// TestHooksAndHeldFragments: PreFilterIn sees each packet once, when it comes;
// PostFilterIn sees those that pass, behind the first.
func TestHooksAndHeldFragments(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		frags := craft.Fragments(craft.Datagram(peer, 5, host, 80, 100), 32, 1)
		r := rig.New(t, 8)
		r.Allow(rig.To(rig.Port(80)))
		var before, after []int
		see := func(to *[]int, last filter.Response) tstun.FilterFunc {
			return func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
				f, _ := p.Fragment()
				*to = append(*to, f.Offset)
				if f.Offset == 96 {
					return last
				}
				return filter.Accept
			}
		}
		r.W.PreFilterIn, r.W.PostFilterIn = see(&before, filter.Accept), see(&after, filter.Handled)
		r.W.SetStatisticsEnabled(true)
		rig.WantPackets(t, "in", r.FromPeer(frags[3], frags[1], frags[0], frags[2]), frags[0], frags[1], frags[2])
		if want := []int{96, 32, 0, 64}; !slices.Equal(before, want) {
			t.Errorf("PreFilterIn saw %v, want %v", before, want)
		}
		if want := []int{0, 32, 96, 64}; !slices.Equal(after, want) {
			t.Errorf("PostFilterIn saw %v, want %v", after, want)
		}
		r.WantHeld("hooks", 4, 0, nil)
		wantStats(t, "what a hook took counts under the flow", r.W.ExtractStatistics(), stats{
			rig.Connection(ipproto.UDP, host, 80, peer, 5): {RxPackets: 4, RxBytes: craft.Total(frags)},
		})
	})
}

// TestHeldFragmentsOfAnswers: a jailed peer's answers, under NAT.
func TestHeldFragmentsOfAnswers(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		as := craft.RandomAddr(host.Is6())
		r := rig.New(t, 8)
		r.Allow()
		p := tstun.Peer{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, NAT: []tstun.NAT{{Host: host, As: as}}, Jailed: true}
		if err := r.W.SetPeers([]tstun.Peer{p}); err != nil {
			t.Fatal(err)
		}
		r.W.SetStatisticsEnabled(true)
		ask := craft.UDP(host, 5, peer, 53, "question")
		r.FromHost(ask)
		frags := craft.Fragments(craft.Datagram(peer, 53, as, 5, 100), 32, 1)
		translated := craft.Fragments(craft.Datagram(peer, 53, host, 5, 100), 32, 1)
		got := r.FromPeer(frags[2], frags[1], frags[3], frags[0])
		rig.WantPackets(t, "answer", got, translated...)
		wantStats(t, "answer", r.W.ExtractStatistics(), stats{
			rig.Connection(ipproto.UDP, host, 5, peer, 53): {TxPackets: 1, TxBytes: uint64(len(ask)), RxPackets: 4, RxBytes: craft.Total(frags)},
		})
		other := craft.Fragments(craft.Datagram(peer, 53, as, 6, 100), 32, 2) // answers nothing
		rig.WantPackets(t, "no answer", r.FromPeer(other[1], other[0]))
		r.WantHeld("jailed", 6, 0, map[filter.Reason]uint64{filter.ReasonJailed: 2})
	})
}

// TestJailWhileFragmentsAreHeld: the peer as it is when the first comes counts.
func TestJailWhileFragmentsAreHeld(t *testing.T) {
	r := rig.New(t, 8)
	r.Allow(rig.To(rig.Port(80)))
	frags := craft.Fragments(craft.Datagram(peer4, 5, host4, 80, 100), 64, 1)
	r.FromPeer(frags[1])
	if err := r.W.SetPeers([]tstun.Peer{{Prefixes: []netip.Prefix{netip.PrefixFrom(peer4, 32)}, Jailed: true}}); err != nil {
		t.Fatal(err)
	}
	rig.WantPackets(t, "jailed", r.FromPeer(frags[0]))
	r.WantHeld("jailed", 2, 0, map[filter.Reason]uint64{filter.ReasonJailed: 2})
}

// TestUnbatchedAndHeldFragments: what Write returns is about its own packet.
func TestUnbatchedAndHeldFragments(t *testing.T) {
	pkt := craft.Datagram(peer4, 5, host4, 80, 100)
	r := rig.New(t, 1)
	r.Allow(rig.To(rig.Port(80)))
	u := r.W.Unbatched()
	write := func(b []byte, want error) {
		t.Helper()
		n, err := u.Write(append(make([]byte, offset), b...), offset)
		if !errors.Is(err, want) || err == nil && n != len(b) {
			t.Errorf("Write = %d, %v; want %v", n, err, want)
		}
	}
	write(craft.Fragment(pkt, 64, 40, false), nil)
	write(craft.Fragment(pkt, 8, 8, true), nil) // will overlap
	write(craft.Fragment(pkt, 0, 64, true), nil)
	write(craft.Fragment(pkt, 8, 8, true), tstun.ErrFiltered)
	rig.WantPackets(t, "in", r.Dev.Written(), craft.Fragment(pkt, 0, 64, true), craft.Fragment(pkt, 64, 40, false))
	denied := craft.Fragments(craft.Datagram(peer4, 5, host4, 81, 100), 64, 2)
	write(denied[1], nil)
	write(denied[0], tstun.ErrFiltered)
}

// TestDeviceErrorsAndHeldFragments: the number that Write returns is of its own
// packets, and the books balance.
func TestDeviceErrorsAndHeldFragments(t *testing.T) {
	frags := craft.Fragments(craft.Datagram(peer4, 5, host4, 80, 200), 32, 1)
	for took := range len(frags) + 1 {
		r := rig.New(t, 8)
		r.Allow(rig.To(rig.Port(80)))
		r.W.SetStatisticsEnabled(true)
		r.FromPeer(frags[1:5]...)
		r.Dev.OnWrite(func(b [][]byte, _ int) (int, error) {
			if len(b) != 7 {
				t.Errorf("%d packets for the device", len(b))
			}
			return took, errors.New("refused")
		})
		bufs := rig.Wire(frags[0], frags[5], frags[6])
		want := []int{0, 1, 1, 1, 1, 1, 2, 3}[took]
		if n, err := r.W.Write(bufs, offset); n != want || err == nil {
			t.Errorf("the device took %d of 7: Write = %d, %v; want %d", took, n, err, want)
		}
		drops := map[filter.Reason]uint64{filter.ReasonDevice: uint64(7 - took)}
		r.WantHeld("refused", 7, 0, drops)
		got := r.W.ExtractStatistics()[rig.Connection(ipproto.UDP, host4, 80, peer4, 5)]
		if got != (netlogtype.Counts{RxPackets: uint64(took), RxBytes: craft.Total(frags[:took])}) {
			t.Errorf("the device took %d: counted %+v", took, got)
		}
	}
}

// TestAnyOrderIsAsInOrder sends random datagrams, with overlaps, repetitions,
// tiny and refused first fragments, in order to one Wrapper and in disorder to
// another: the same packets pass, for the same reasons others do not.
func TestAnyOrderIsAsInOrder(t *testing.T) {
	for seed := range uint64(300) {
		anyOrder(t, rand.New(rand.NewPCG(seed, 2)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzAnyOrderIsAsInOrder(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { anyOrder(t, rand.New(rand.NewPCG(seed, 3))) })
}

func anyOrder(t *testing.T, rng *rand.Rand) {
	var all [][]byte
	for id := range uint16(1 + rng.IntN(6)) {
		all = append(all, randomFragments(rng, id)...)
	}
	disorder := slices.Clone(all)
	rng.Shuffle(len(disorder), func(i, j int) { disorder[i], disorder[j] = disorder[j], disorder[i] })

	run := func(pkts [][]byte) (passed map[string]int, in tstun.DirectionCounters, s stats) {
		r := rig.New(t, 8)
		defer r.W.Close()
		r.Allow(rig.To(rig.Port(80)))
		r.W.SetStatisticsEnabled(true)
		passed = make(map[string]int)
		for len(pkts) > 0 {
			n := min(len(pkts), 1+rng.IntN(5))
			for _, b := range r.FromPeer(pkts[:n]...) {
				passed[string(b)]++
			}
			pkts = pkts[n:]
		}
		return passed, r.W.Counters().In, r.W.ExtractStatistics()
	}
	wantPassed, wantIn, wantS := run(all)
	gotPassed, gotIn, gotS := run(disorder)
	if fmt.Sprint(gotPassed) != fmt.Sprint(wantPassed) {
		t.Errorf("in disorder other packets pass: %d, want %d", len(gotPassed), len(wantPassed))
	}
	// What waited for a refused first has its reason; in order it comes later.
	later := func(c tstun.DirectionCounters) uint64 {
		return c.Drops[filter.ReasonFragmentDenied] + c.Drops[filter.ReasonFragmentOrphan] + c.Held +
			c.Drops[filter.ReasonNoRule] + c.Drops[filter.ReasonFragmentTiny]
	}
	if gotIn.Packets != wantIn.Packets || later(gotIn) != later(wantIn) || gotIn.Drops[filter.ReasonFragmentOverlap] != wantIn.Drops[filter.ReasonFragmentOverlap] {
		t.Errorf("in disorder %+v, in order %+v", gotIn, wantIn)
	}
	wantStats(t, "in disorder", gotS, wantS)
}

// randomFragments returns a datagram in fragments, the one first fragment in
// front.
func randomFragments(rng *rand.Rand, id uint16) (frags [][]byte) {
	host, peer := host4, peer4
	if rng.IntN(2) == 0 {
		host, peer = host6, peer6
	}
	pkt := craft.Datagram(peer, 1000+id, host, uint16(80+rng.IntN(4)/3), 80+rng.IntN(100))
	least := 8
	if rng.IntN(3) == 0 {
		pkt = craft.TCP(peer, 1000+id, host, uint16(80+rng.IntN(4)/3), packet.TCPSyn, string(make([]byte, 80+rng.IntN(100))))
		if rng.IntN(4) > 0 {
			least = 24 // else tiny
		}
	}
	head := 20
	if pkt[0]>>4 == 6 {
		head = 40
	}
	for at, n := 0, least+8*rng.IntN(3); at < len(pkt)-head; at, n = at+n, 8*(1+rng.IntN(4)) {
		n = min(n, len(pkt)-head-at)
		frags = append(frags, craft.Fragment(pkt, at, n, at+n < len(pkt)-head))
	}
	for range rng.IntN(3) { // repeated, or over others, the first among them
		at := 8 * (1 + rng.IntN(8))
		frags = append(frags, craft.Fragment(pkt, at, 8, true))
	}
	for i := range frags {
		frags[i] = craft.Identified(frags[i], id)
	}
	return frags
}

// TestNoFragmentWaitsInVain: the first and the later fragments of a datagram
// come at the same time on several goroutines; all pass in the end. Meanwhile
// the books never show less than before, and never more than was sent.
func TestNoFragmentWaitsInVain(t *testing.T) {
	const datagrams, writers = 1500, 4
	r := rig.New(t, 1)
	r.Allow(rig.To(rig.Port(80)))
	r.W.SetStatisticsEnabled(true)
	r.Dev.OnWrite(func(b [][]byte, _ int) (int, error) { return len(b), nil })
	frags := make([][][]byte, datagrams)
	for id := range frags {
		frags[id] = craft.Fragments(craft.Datagram(peer4, 5, host4, 80, 200), 56, uint16(id))
	}
	n := len(frags[0])
	if n != writers {
		t.Fatalf("%d fragments", n)
	}
	var watch sync.WaitGroup
	done := make(chan struct{})
	watch.Go(func() {
		for last := uint64(0); ; {
			c := r.W.Counters().In
			sum := c.Packets + c.Dropped() + c.Held
			if sum < last || sum > datagrams*writers {
				t.Errorf("the books add up to %d after %d: %+v", sum, last, c)
			}
			last = sum
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for round := range slices.Chunk(frags, 20) { // few enough to be held
		var work sync.WaitGroup
		for g := range writers {
			work.Go(func() {
				for _, d := range round {
					if _, err := r.W.Write(rig.Wire(d[g]), offset); err != nil {
						t.Error(err)
					}
				}
			})
		}
		work.Wait()
	}
	close(done)
	watch.Wait()
	r.WantHeld("in the end", datagrams*writers, 0, nil)
	got := r.W.ExtractStatistics()[rig.Connection(ipproto.UDP, host4, 80, peer4, 5)]
	if got.RxPackets != datagrams*writers {
		t.Errorf("%d packets are counted under their flow, want %d", got.RxPackets, datagrams*writers)
	}
}

// TestStatisticsOfFragments: fragments of datagrams of all kinds are counted
// under their flow; without the first, with port 0.
func TestStatisticsOfFragments(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		as := craft.RandomAddr(host.Is6())
		out := craft.Fragments(craft.Datagram(host, 5, peer, 53, 8000), 1232, 1)
		in := craft.Fragments(craft.Datagram(peer, 53, host, 5, 8000), 1232, 1)
		conn, rest := rig.Connection(ipproto.UDP, host, 5, peer, 53), rig.Connection(ipproto.UDP, host, 0, peer, 0)
		tx := netlogtype.Counts{TxPackets: 7, TxBytes: craft.Total(out)}
		rx := netlogtype.Counts{RxPackets: 7, RxBytes: craft.Total(in)}
		for name, tt := range map[string]struct {
			send func(r *rig.Rig)
			want stats
		}{
			"host": {func(r *rig.Rig) { r.FromHost(out...) }, stats{conn: tx}},
			"host under NAT": {func(r *rig.Rig) {
				p := tstun.Peer{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, NAT: []tstun.NAT{{Host: host, As: as}}}
				if err := r.W.SetPeers([]tstun.Peer{p}); err != nil {
					t.Fatal(err)
				}
				r.FromHost(out...)
			}, stats{conn: tx}},
			"injected outbound": {func(r *rig.Rig) {
				for _, b := range out {
					if err := r.W.InjectOutbound(bytes.Clone(b)); err != nil {
						t.Fatal(err)
					}
				}
				r.Read(len(out))
			}, stats{conn: tx}},
			"injected inbound": {func(r *rig.Rig) {
				for _, b := range in {
					if err := r.W.InjectInboundCopy(b); err != nil {
						t.Fatal(err)
					}
				}
			}, stats{conn: rx}},
			"both ways, with one identification": {func(r *rig.Rig) {
				r.FromHost(out[0])
				other := craft.Fragments(craft.Datagram(peer, 53, host, 5, 100), 64, 1)
				r.FromPeer(other...)
				r.FromHost(out[1:]...)
			}, stats{conn: {TxPackets: 7, TxBytes: tx.TxBytes, RxPackets: 2, RxBytes: craft.Total(craft.Fragments(craft.Datagram(peer, 53, host, 5, 100), 64, 1))}}},
			"taken before the filter": {func(r *rig.Rig) { r.FromPeer(in...) }, stats{conn: rx}},
			"host, the first last": {func(r *rig.Rig) { r.FromHost(append(slices.Clone(out[1:]), out[0])...) }, stats{
				conn: {TxPackets: 1, TxBytes: uint64(len(out[0]))},
				rest: {TxPackets: 6, TxBytes: craft.Total(out[1:])},
			}},
		} {
			t.Run(name, func(t *testing.T) {
				r := rig.New(t, 8)
				r.Allow()
				r.W.SetStatisticsEnabled(true)
				if name == "taken before the filter" {
					r.W.PreFilterIn = func(*packet.Parsed, *tstun.Wrapper) filter.Response { return filter.Handled }
				}
				tt.send(r)
				wantStats(t, name, r.W.ExtractStatistics(), tt.want)
			})
		}
	})
}

// TestStatisticsOfRefusedFirsts: what a refused first fragment says
// about a datagram does not count, and a peer cannot make another's fragments be
// counted elsewhere.
func TestStatisticsOfRefusedFirsts(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		good, bad := craft.Datagram(peer, 5, host, 80, 100), craft.Datagram(peer, 5, host, 81, 100)
		r := rig.New(t, 8)
		r.Allow(rig.To(rig.Port(80)))
		r.W.SetStatisticsEnabled(true)
		flood := addrPlus(peer, 3)
		var pkts [][]byte
		pkts = append(pkts, craft.Fragment(good, 0, 32, true), craft.Fragment(bad, 0, 24, true), craft.Fragment(good, 32, 76, false))
		r.FromPeer(pkts[:2]...)
		for id := range uint16(9000) {
			r.FromPeer(craft.Fragments(craft.Datagram(flood, 5, host, 80, 100), 64, id)[0])
		}
		r.FromPeer(pkts[2])
		got := r.W.ExtractStatistics()[rig.Connection(ipproto.UDP, host, 80, peer, 5)]
		if got != (netlogtype.Counts{RxPackets: 2, RxBytes: uint64(len(pkts[0]) + len(pkts[2]))}) {
			t.Errorf("counted %+v", got)
		}
	})
}
