package tstun_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/netlogtype"
	"tstun/packet"
)

type stats = map[netlogtype.Connection]netlogtype.Counts

func wantStats(t *testing.T, what string, got, want stats) {
	t.Helper()
	for c, n := range want {
		if got[c] != n {
			t.Errorf("%s: %v: %+v, want %+v", what, c, got[c], n)
		}
	}
	for c, n := range got {
		if _, ok := want[c]; !ok {
			t.Errorf("%s: unexpected %v: %+v", what, c, n)
		}
	}
}

func TestStatisticsSwitch(t *testing.T) {
	r := rig.New(t, 1)
	r.W.SetFilter(filter.NewAllowAll(nil))
	pkt := craft.UDP(host4, 1, peer4, 2, "x")
	r.FromHost(pkt)
	wantStats(t, "off", r.W.ExtractStatistics(), stats{})
	r.W.SetStatisticsEnabled(true)
	r.FromHost(pkt)
	r.W.SetStatisticsEnabled(false)
	r.FromHost(pkt)
	wantStats(t, "off again keeps what was counted", r.W.ExtractStatistics(), stats{
		rig.Connection(ipproto.UDP, host4, 1, peer4, 2): {TxPackets: 1, TxBytes: uint64(len(pkt))},
	})
	wantStats(t, "extracted", r.W.ExtractStatistics(), stats{})
}

// TestLesson17OneEntryPerFlow: one flow is one entry, in the host's own
// addresses, whatever translates, takes or injects its packets.
func TestLesson17OneEntryPerFlow(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		as := craft.RandomAddr(host.Is6())
		r := rig.New(t, 8)
		r.Allow(rig.Everything())
		r.W.SetStatisticsEnabled(true)
		r.W.PostFilterIn = func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
			if p.Dst.Port() == 99 {
				return filter.Handled
			}
			return filter.Accept
		}
		p := tstun.Peer{Prefixes: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}, NAT: []tstun.NAT{{Host: host, As: as}}}
		if err := r.W.SetPeers([]tstun.Peer{p}); err != nil {
			t.Fatal(err)
		}
		out, in := craft.UDP(host, 1, peer, 2, "four"), craft.UDP(peer, 2, as, 1, "sixsix")
		r.FromHost(out, out)
		r.FromPeer(in)
		if err := r.W.InjectOutbound(craft.UDP(host, 1, peer, 2, "four")); err != nil {
			t.Fatal(err)
		}
		r.Read(1)
		if err := r.W.InjectInboundCopy(craft.UDP(peer, 2, host, 1, "sixsix")); err != nil {
			t.Fatal(err)
		}
		taken := craft.TCP(peer, 5, as, 99, packet.TCPSyn, "")
		r.FromPeer(taken)
		r.FromPeer(craft.Echo(peer, as, 5, false))
		icmp := ipproto.ICMPv4
		if host.Is6() {
			icmp = ipproto.ICMPv6
		}
		wantStats(t, "statistics", r.W.ExtractStatistics(), stats{
			rig.Connection(ipproto.UDP, host, 1, peer, 2):  {TxPackets: 3, TxBytes: uint64(3 * len(out)), RxPackets: 2, RxBytes: uint64(2 * len(in))},
			rig.Connection(ipproto.TCP, host, 99, peer, 5): {RxPackets: 1, RxBytes: uint64(len(taken))},
			rig.Connection(icmp, host, 0, peer, 0):         {RxPackets: 1, RxBytes: uint64(len(craft.Echo(peer, as, 5, false)))},
		})
	})
}

// TestLesson17SumsAreExact counts from many goroutines, extracts all the
// while, and compares with an independent count.
func TestLesson17SumsAreExact(t *testing.T) {
	const writers, batches, size = 4, 200, 16
	r := rig.New(t, size)
	r.Allow(rig.To(rig.Port(80)))
	r.W.SetStatisticsEnabled(true)
	r.Dev.OnWrite(func(b [][]byte, _ int) (int, error) { return len(b), nil })
	want := make(stats)
	var mu sync.Mutex
	var work, extract sync.WaitGroup
	for g := range writers {
		work.Go(func() {
			for i := range batches {
				var bufs [][]byte
				mine := make(stats)
				for j := range size {
					dport := uint16(80 + j%2) // every other one is refused
					pkt := craft.UDP(peer4, uint16(g*100+i%7), host4, dport, fmt.Sprint(i, j))
					bufs = append(bufs, append(make([]byte, offset), pkt...))
					if dport == 80 {
						c := rig.Connection(ipproto.UDP, host4, dport, peer4, uint16(g*100+i%7))
						mine[c] = mine[c].Add(netlogtype.Counts{RxPackets: 1, RxBytes: uint64(len(pkt))})
					}
				}
				if _, err := r.W.Write(bufs, offset); err != nil {
					t.Error(err)
				}
				mu.Lock()
				for c, n := range mine {
					want[c] = want[c].Add(n)
				}
				mu.Unlock()
			}
		})
	}
	work.Go(func() {
		for i := range 500 {
			pkt := craft.UDP(host4, 9, peer4, 9, fmt.Sprint(i))
			if err := r.W.InjectOutbound(pkt); err != nil {
				t.Error(err)
			}
			r.Read(1)
			mu.Lock()
			c := rig.Connection(ipproto.UDP, host4, 9, peer4, 9)
			want[c] = want[c].Add(netlogtype.Counts{TxPackets: 1, TxBytes: uint64(len(pkt))})
			mu.Unlock()
		}
	})
	got := make(stats)
	done := make(chan struct{})
	collect := func() {
		for c, n := range r.W.ExtractStatistics() {
			got[c] = got[c].Add(n)
		}
	}
	extract.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				collect()
			}
		}
	})
	work.Wait()
	close(done)
	extract.Wait()
	collect()
	wantStats(t, "sum of extracts", got, want)
	c := r.W.Counters()
	if half := uint64(writers * batches * size / 2); c.In.Packets != half || c.In.Drops[filter.ReasonNoRule] != half {
		t.Errorf("counted %+v, want %d passed and as many refused", c.In, half)
	}
}

var all = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}

func TestStatisticsPastTheLimitAreSummed(t *testing.T) {
	// Of one peer: that are open, and that ended since the last extract.
	const open, ended, more = 500, 50_000, 500
	const limit = open + ended
	r := rig.New(t, 1000)
	f, err := filter.New(filter.Config{
		Matches: []filter.Match{{Srcs: all, Dsts: []filter.NetPortRange{{Net: all[0], Ports: filter.AllPorts}}}}, Local: all,
		Limits: filter.Limits{Flows: 2 * open},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.W.SetFilter(f)
	r.W.SetStatisticsEnabled(true)
	r.Dev.OnWrite(func(b [][]byte, _ int) (int, error) { return len(b), nil })
	var size int
	for i := 0; i < limit+more; {
		var pkts [][]byte
		for ; len(pkts) < 100; i++ {
			pkt := craft.UDP(peer4, uint16(i), host4, uint16(i>>16), "x")
			size = len(pkt)
			pkts = append(pkts, pkt)
		}
		if _, err := r.W.Write(rig.Wire(pkts...), offset); err != nil {
			t.Fatal(err)
		}
	}
	other := netip.MustParseAddr("100.64.0.77") // finds room, whatever the first peer did
	r.FromPeer(craft.UDP(other, 1, host4, 2, "x"))
	got := r.W.ExtractStatistics()
	if len(got) != limit+2 {
		t.Errorf("%d connections, want %d, the other peer's and the rest", len(got), limit)
	}
	if n := got[rig.Connection(ipproto.UDP, host4, 2, other, 1)]; n.RxPackets != 1 {
		t.Errorf("the other peer's connection: %+v", n)
	}
	want := netlogtype.Counts{RxPackets: more, RxBytes: uint64(more * size)}
	if rest := got[netlogtype.Connection{}]; rest != want {
		t.Errorf("the rest is %+v, want %+v", rest, want)
	}
}

func TestInjectedBytesThatAreNoPacketAreCounted(t *testing.T) {
	r := rig.New(t, 1)
	r.W.SetStatisticsEnabled(true)
	if err := r.W.InjectInboundCopy([]byte("in")); err != nil {
		t.Fatal(err)
	}
	if err := r.W.InjectOutbound([]byte("out")); err != nil {
		t.Fatal(err)
	}
	rig.WantPackets(t, "out", r.Read(1), []byte("out"))
	rig.WantPackets(t, "in", r.Dev.Written(), []byte("in"))
	wantStats(t, "statistics", r.W.ExtractStatistics(), stats{{}: {TxPackets: 1, TxBytes: 3, RxPackets: 1, RxBytes: 2}})
}
