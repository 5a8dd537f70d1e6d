package tstun_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/race"
	"tstun/internal/rig/testdev"
	"tstun/ipproto"
	"tstun/packet"
)

func TestAllocs(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	r := rig.New(t, 8)
	r.Dev.OnWrite(func(bufs [][]byte, _ int) (int, error) { return len(bufs), nil })
	r.W.SetStatisticsEnabled(true)
	r.Allow(rig.To(rig.Port(80), ipproto.UDP, ipproto.ICMPv4))
	big := craft.Datagram(peer4, 9, host4, 80, 3000)
	frags := craft.Fragments(big, 1200, 99)
	tsq := packet.Generate(packet.ICMPHeader{Src: peer4, Dst: host4, Type: 13, Rest: [4]byte{0, 9}}, make([]byte, 12))
	cases := map[string][]byte{
		"refused udp":        craft.UDP(peer4, 1, host4, 81, "x"),
		"ping":               craft.TSMPPing(peer4, host4),
		"timestamp":          tsq,
		"first":              frags[0],
		"later":              frags[1],
		"icmp error refused": packet.Generate(packet.ICMPHeader{Src: peer4, Dst: host4, Type: 3, Code: 4}, craft.UDP(host4, 1, peer4, 2, "1234567890")[:28]),
	}
	for _, rej := range []tstun.Reject{tstun.RejectNone, tstun.RejectReset, tstun.RejectTSMP, tstun.RejectResetAll} {
		r.W.SetReject(rej)
		for name, p := range cases {
			buf := rig.Wire(p)
			orig := bytes.Clone(buf[0])
			write := func() { copy(buf[0], orig); r.W.Write(buf, offset) }
			for range 3000 {
				write()
			}
			if a := testing.AllocsPerRun(2000, write); a > 0.2 {
				t.Errorf("reject %d, %s: %v allocations", rej, name, a)
			}
		}
	}
}

// Hostile peers come one after the other; the honest one's connections have
// entries of their own.
func TestStatisticsOfManyPeers(t *testing.T) {
	r := rig.New(t, 8)
	r.W.SetStatisticsEnabled(true)
	r.Dev.OnWrite(func(bufs [][]byte, _ int) (int, error) { return len(bufs), nil })
	r.Allow(rig.Everything())
	for p := range 18 {
		src := netip.AddrFrom4([4]byte{100, 65, 0, byte(p)})
		for i := range 400 {
			var batch [][]byte
			for j := range 128 {
				n := i*128 + j
				batch = append(batch, craft.TSMPPing(src, netip.AddrFrom4([4]byte{100, 70, byte(n >> 8), byte(n)})))
			}
			r.W.Write(rig.Wire(batch...), offset)
		}
	}
	honest := craft.UDP(peer4, 1, host4, 80, "hello")
	r.FromPeer(honest)
	s := r.W.ExtractStatistics()
	c := rig.Connection(ipproto.UDP, host4, 80, peer4, 1)
	if _, ok := s[c]; !ok {
		t.Errorf("no entry for %v among %d", c, len(s))
	}
}

func TestCases(t *testing.T) {
	r := rig.New(t, 8)
	r.Allow(rig.To(rig.Port(80), ipproto.TCP))
	r.W.SetReject(tstun.RejectReset)
	r.FromPeer(craft.TCP(peer4, 22, host4, 50000, packet.TCPPsh|packet.TCPAck, "x")) // 1
	if q := r.Queued(); len(q) != 0 {
		t.Errorf("case 1: %d answers", len(q))
	}
	q := packet.Generate(packet.ICMPHeader{Src: host4, Dst: peer4, Type: 13, Rest: [4]byte{0, 9}}, make([]byte, 12))
	a := packet.Generate(packet.ICMPHeader{Src: peer4, Dst: host4, Type: 14, Rest: [4]byte{0, 9}}, make([]byte, 12))
	r.FromHost(q)
	rig.WantPackets(t, "case 5", r.FromPeer(a), a)
	r.WantDrop(true, filter.ReasonMartian, func() { r.FromPeer(craft.TCP(host4, 80, host4, 80, packet.TCPSyn, "")) })
	r.FromHost(craft.UDP(host4, 1, peer4, 2, "x"))
	quote := craft.UDP(host4, 1, peer4, 2, "1234567890")
	binary.BigEndian.PutUint16(quote[2:], 0)
	e := packet.Generate(packet.ICMPHeader{Src: peer4, Dst: host4, Type: 3, Code: 4, Rest: [4]byte{0, 0, 5, 0}}, quote)
	rig.WantPackets(t, "case 8", r.FromPeer(e), e)
}

// Source and destination are equal on the wire, and not behind the NAT.
func TestPacketToItselfUnderNAT(t *testing.T) {
	r := rig.New(t, 8)
	r.Allow(rig.Everything())
	as := netip.MustParseAddr("100.99.0.1")
	if err := r.W.SetPeers([]tstun.Peer{{ID: 1, Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, NAT: []tstun.NAT{{Host: host4, As: as}}}}); err != nil {
		t.Fatal(err)
	}
	r.WantDrop(true, filter.ReasonMartian, func() { r.FromPeer(craft.UDP(as, 80, as, 80, "x")) })
	r.WantDrop(true, filter.ReasonMartian, func() { r.FromPeer(craft.UDP(host4, 80, as, 80, "x")) })
}

// All at once.
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
	var wg, bg sync.WaitGroup
	var mu sync.Mutex
	var came uint64
	bg.Go(func() {
		bufs, sizes := rig.Buffers(16), make([]int, 16)
		for {
			if _, err := w.Read(bufs, sizes, offset); err != nil {
				return
			}
		}
	})
	bg.Go(func() {
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
		wg.Go(func() {
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
	wg.Wait()
	close(stop)
	time.Sleep(50 * time.Millisecond)
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
	bg.Wait()
}
