package tstun_test

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"tstun"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// TestLookahead: where so many flows are open that packets are decoded ahead, batches of
// any length pass, drop, translate and count what single packets do.
func TestLookahead(t *testing.T) {
	const flows, rounds = 9000, 1920
	translated, as := netip.MustParseAddr("100.70.0.1"), netip.MustParseAddr("10.1.2.3")
	type way struct {
		in, out  [][]byte
		counters tstun.Counters
		flows    int
	}
	play := func(batch int) (w way) {
		rng := rand.New(rand.NewPCG(1, 2))
		r := rig.New(t, batch)
		defer r.W.Close()
		r.Allow(rig.To(rig.Port(80)))
		r.W.SetFlowRecordsEnabled(true)
		if err := r.W.SetPeers([]tstun.Peer{{
			Prefixes: []netip.Prefix{netip.PrefixFrom(translated, 32)}, NAT: []tstun.NAT{{Host: host4, As: as}},
		}}); err != nil {
			t.Fatal(err)
		}
		for i := range flows {
			r.FromPeer(craft.UDP(source(i), 53, host4, 80, payload))
		}
		frags := craft.Fragments(craft.Datagram(source(1), 53, host4, 80, 3000), 1200, 7)
		for left := rounds; left > 0; left -= batch {
			var in, out [][]byte
			for range batch {
				far := source(rng.IntN(flows))
				in = append(in, [][]byte{
					craft.UDP(far, 53, host4, 80, payload),
					craft.UDP(far, 53, host4, 80, payload),
					craft.UDP(far, 53, host4, 80, payload),
					craft.TCP(far, 5, host4, 80, packet.TCPSyn, ""),
					craft.UDP(far, 54, host4, 81, payload), // refused
					craft.UDP(translated, uint16(rng.IntN(50)), as, 80, payload),
					craft.Echo(far, host4, 3, false),
					frags[rng.IntN(len(frags))],
					{0x45, 0, 0}, {}, // malformed
				}[rng.IntN(10)])
				out = append(out, [][]byte{
					craft.UDP(host4, 80, far, 53, payload),
					craft.UDP(host4, 80, far, 53, payload),
					craft.UDP(host4, uint16(rng.IntN(50)), translated, 80, payload),
					craft.TSMPPing(host4, far), // refused
					{1},
				}[rng.IntN(5)])
			}
			w.in = append(w.in, r.FromPeer(in...)...)
			w.out = append(w.out, r.FromHost(out...)...)
		}
		w.counters, w.flows = r.W.Counters(), r.W.Flows().Len()
		return w
	}
	want := play(1)
	for _, batch := range []int{5, 20, 128} {
		got := play(batch)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("batches of %d: %d in and %d out, %+v, %d flows; single packets: %d and %d, %+v, %d", batch,
				len(got.in), len(got.out), got.counters, got.flows, len(want.in), len(want.out), want.counters, want.flows)
		}
	}
	if len(want.in) < 1000 || len(want.out) < 1000 {
		t.Error("no packets")
	}
}
