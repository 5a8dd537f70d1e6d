package e2e_test

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

// pair is a bare tunnel and a wrapped one, through which packets go by turns,
// so that whatever else the machine does happens to both.
type pair struct {
	bare, wrapped *tunnel
}

// switchesPerPing sends a packet back and forth through each tunnel, one in
// each interval, and returns how many switches that cost each tunnel's nodes.
func (p pair) switchesPerPing(t *testing.T, every time.Duration, pings int) (bare, wrapped float64) {
	t.Helper()
	bareBefore, wrappedBefore := p.bare.switches(t), p.wrapped.switches(t)
	turn := time.NewTicker(every / 2)
	defer turn.Stop()
	for range pings {
		for _, tn := range []*tunnel{p.bare, p.wrapped} {
			<-turn.C
			if err := tn.ping(); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := float64(pings)
	return float64(p.bare.switches(t)-bareBefore) / n, float64(p.wrapped.switches(t)-wrappedBefore) / n
}

// TestLonePacketIsCheap: a packet that comes alone wakes a wrapped node no
// more often than bare wireguard-go. What the machine does besides moves single
// rounds, so there are more of them until their median tells, up to a bound.
func TestLonePacketIsCheap(t *testing.T) {
	const most = 1.05
	const least, bound = 5, 60 // rounds, a minute at most
	if runtime.NumCPU() < 2 {
		t.Skip("needs two processors: on one, each wake-up is a switch from whatever runs")
	}
	p := pair{newTunnel(t, bare), newTunnel(t, wrapped)}
	for _, tt := range []struct {
		every time.Duration
		pings int // per round
	}{
		{2 * time.Millisecond, 200},
		{20 * time.Millisecond, 50},
	} {
		var bares, wrappeds, ratios []float64
		for n := 0; n < least || median(ratios) > most && n < bound; n++ {
			b, w := p.switchesPerPing(t, tt.every, tt.pings)
			bares, wrappeds, ratios = append(bares, b), append(wrappeds, w), append(ratios, w/b)
		}
		t.Logf("every %v: %.2f switches per ping, %.2f bare; ratios %.3f", tt.every, median(wrappeds), median(bares), ratios)
		if m := median(ratios); m > most {
			t.Errorf("every %v: %.3f × bare wireguard-go's switches, want at most %v", tt.every, m, most)
		}
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
