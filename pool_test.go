package tstun

import (
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"weak"

	"tstun/filter"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
)

// meeting is a device whose Write waits until so many are going on at once.
type meeting struct {
	mu      sync.Mutex // guards all below
	size    int
	arrived int
	open    chan struct{} // closed when all are here
}

func newMeeting(size int) *meeting { return &meeting{size: size, open: make(chan struct{})} }

func (m *meeting) write(bufs [][]byte, _ int) (int, error) {
	m.mu.Lock()
	open := m.open
	if m.arrived++; m.arrived == m.size {
		m.arrived, m.open = 0, make(chan struct{})
		close(open)
	}
	m.mu.Unlock()
	<-open
	return len(bufs), nil
}

// poolTraffic is a batch of one peer: a run of one flow, another flow and a
// packet that is refused.
func poolTraffic(peer byte) [][]byte {
	src, dst := netip.AddrFrom4([4]byte{100, 64, 1, peer}), craft.Host4
	one := func(sport, dport uint16, payload string) []byte {
		return craft.UDP(src, sport, dst, dport, payload)
	}
	return [][]byte{one(1, 80, "x"), one(1, 80, "xy"), one(1, 80, "xyz"), one(2, 80, ""), one(1, 81, "refused"), one(1, 80, "x")}
}

// poolFilter lets traffic to port 80 in.
func poolFilter(t *testing.T, state *filter.State) *filter.Filter {
	any4 := netip.MustParsePrefix("0.0.0.0/0")
	f, err := filter.New(filter.Config{
		Matches: []filter.Match{{Srcs: []netip.Prefix{any4}, Dsts: []filter.NetPortRange{{Net: any4, Ports: filter.PortRange{First: 80, Last: 80}}}}},
		Local:   []netip.Prefix{any4},
		State:   state,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestWritesGoOnIndependently: calls that block in the device hold up no
// others, there are as many batches as calls at once and no more, and nothing is
// counted twice or not at all.
func TestWritesGoOnIndependently(t *testing.T) {
	const rounds = 200
	dev := testdev.New(8)
	w := Wrap(nil, dev)
	defer w.Close()
	w.SetFilter(poolFilter(t, nil))
	w.SetStatisticsEnabled(true)
	var done atomic.Bool
	var extracted, bytes uint64
	extract := func() {
		for _, n := range w.ExtractStatistics() {
			extracted += n.RxPackets
			bytes += n.RxBytes
		}
	}
	var extractor sync.WaitGroup
	extractor.Go(func() {
		for !done.Load() {
			extract()
			w.Counters()
		}
	})
	batches := 0
	for _, calls := range []int{1, 2, 5, 16, 3} {
		dev.OnWrite(newMeeting(calls).write)
		var callers sync.WaitGroup
		for i := range calls {
			callers.Go(func() {
				for range rounds {
					if n, err := w.Write(poolTraffic(byte(i)), 0); n != 6 || err != nil {
						t.Errorf("Write = %d, %v", n, err)
					}
				}
			})
		}
		callers.Wait()
		batches += calls * rounds
		if got := len(w.pool.list()); calls != 3 && got != calls {
			t.Errorf("%d batches for %d calls at once", got, calls)
		}
	}
	if got := len(w.pool.list()); got != 16 {
		t.Errorf("%d batches, there were never more than 16 calls at once", got)
	}
	done.Store(true)
	extractor.Wait()
	extract()
	c := w.Counters().In
	packets, size := uint64(5*batches), uint64((5*28+1+2+3+0+1)*batches)
	if c.Packets != packets || c.Bytes != size || c.Dropped() != uint64(batches) || c.Drops[filter.ReasonNoRule] != uint64(batches) {
		t.Errorf("counted %+v, want %d packets of %d bytes, %d dropped", c, packets, size, batches)
	}
	if extracted != packets || bytes != size {
		t.Errorf("statistics of %d packets and %d bytes, want %d and %d", extracted, bytes, packets, size)
	}
}

// TestIdleBatchesKeepNoFilter: a filter that was replaced goes at once, though no
// call comes any more on the batches that had cached verdicts of it.
func TestIdleBatchesKeepNoFilter(t *testing.T) {
	dev := testdev.New(8)
	w := Wrap(nil, dev)
	defer w.Close()
	first := poolFilter(t, nil)
	state, left := first.State(), weak.Make(first)
	w.SetFilter(first)
	bufs, sizes := make([][]byte, 8), make([]int, 8)
	for i := range bufs {
		bufs[i] = make([]byte, 100)
	}
	for range 2 {
		if _, err := w.Write(poolTraffic(1), 0); err != nil {
			t.Fatal(err)
		}
		dev.Send(poolTraffic(1)...)
		if n, err := w.Read(bufs, sizes, 0); n != 6 || err != nil {
			t.Fatalf("Read = %d, %v", n, err)
		}
	}
	w.SetFilter(poolFilter(t, state))
	for range 3 {
		runtime.GC()
	}
	if left.Value() != nil {
		t.Error("the old filter is held")
	}
}
