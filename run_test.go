package tstun_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/netlogtype"
	"tstun/packet"
)

// runScript sends random traffic of few flows, much of it in runs, through a
// Wrapper, and holds what comes out against a filter that judges each packet
// by itself.
type runScript struct {
	*rig.Rig
	rng    *rand.Rand
	naive  *filter.Filter
	config filter.Config
	stats  map[netlogtype.Connection]netlogtype.Counts
	passed [2]uint64 // out, in

	// Identifications are those of the batch, so that fragments that wait for
	// longer wait in vain.
	batch  uint16
	firsts map[string]netlogtype.Connection // of datagrams of the batch, counted
}

func newRunScript(t *testing.T, seed uint64) *runScript {
	s := &runScript{
		Rig:    rig.New(t, 40),
		rng:    rand.New(rand.NewPCG(seed, 1)),
		config: filter.Config{Matches: []filter.Match{rig.To(rig.Port(80))}, Local: rig.Local()},
		stats:  make(map[netlogtype.Connection]netlogtype.Counts),
	}
	s.naive = s.newFilter(nil)
	s.W.SetFilter(s.newFilter(nil))
	s.W.SetStatisticsEnabled(true)
	return s
}

func (s *runScript) newFilter(state *filter.State) *filter.Filter {
	c := s.config
	c.State = state
	f, err := filter.New(c)
	if err != nil {
		s.T.Fatal(err)
	}
	return f
}

// swap puts other rules in force, on both sides.
func (s *runScript) swap() {
	s.config.Matches = []filter.Match{rig.To(rig.Port(uint16(80 + s.rng.IntN(2))))}
	s.naive = s.newFilter(s.naive.State())
	s.W.SetFilter(s.newFilter(s.W.GetFilter().State()))
}

// traffic returns packets of one direction: runs of few flows, of which some
// packets are not like the others.
func (s *runScript) traffic(inbound bool) (pkts [][]byte) {
	for n := 1 + s.rng.IntN(40); len(pkts) < n; {
		host, peer := host4, peer4
		if s.rng.IntN(2) == 0 {
			host, peer = host6, peer6
		}
		src, dst := netip.AddrPortFrom(host, uint16(80+s.rng.IntN(2))), netip.AddrPortFrom(peer, uint16(1000+s.rng.IntN(2)))
		if inbound {
			src, dst = dst, src
		}
		tcp := s.rng.IntN(2) == 0
		for range min(n-len(pkts), 1+s.rng.IntN(10)) {
			pkts = append(pkts, s.spoil(s.packet(src, dst, tcp)))
		}
	}
	return pkts
}

func (s *runScript) packet(src, dst netip.AddrPort, isTCP bool) []byte {
	payload := string(make([]byte, s.rng.IntN(50)))
	identified := func(b []byte) []byte {
		if b[0]>>4 == 4 {
			binary.BigEndian.PutUint16(b[4:], s.batch)
		}
		return b
	}
	if !isTCP {
		return identified(craft.UDP(src.Addr(), src.Port(), dst.Addr(), dst.Port(), payload))
	}
	flags := packet.TCPAck
	switch s.rng.IntN(30) {
	case 0, 1:
		flags = packet.TCPSyn
	case 2:
		flags = packet.TCPSynAck
	case 3:
		flags = packet.TCPRst
	case 4:
		flags |= packet.TCPFin
	case 5, 6, 7, 8, 9:
		flags |= packet.TCPPsh
	}
	return identified(craft.TCP(src.Addr(), src.Port(), dst.Addr(), dst.Port(), flags, payload))
}

// spoil returns b, perhaps with bytes behind it, cut or with a wrong field.
func (s *runScript) spoil(b []byte) []byte {
	switch s.rng.IntN(20) {
	case 0:
		return append(b, 1, 2, 3)
	case 1:
		return b[:s.rng.IntN(len(b))]
	case 2:
		b[s.rng.IntN(min(len(b), 60))] ^= 1 << s.rng.IntN(8)
	case 3:
		if b[0]>>4 == 4 {
			binary.BigEndian.PutUint16(b[6:], uint16(s.rng.IntN(2)<<13|s.rng.IntN(6)))
		}
	}
	return b
}

// step sends one batch and compares.
func (s *runScript) step(inbound bool) {
	s.batch, s.firsts = s.batch+1, make(map[string]netlogtype.Connection)
	pkts := s.traffic(inbound)
	var want [][]byte
	waiting := make(map[string][]*packet.Parsed)
	pass := func(p *packet.Parsed) {
		want = append(want, bytes.Clone(p.Buffer()))
		s.count(p, inbound)
	}
	for _, b := range pkts {
		p := new(packet.Parsed)
		p.Decode(b)
		reason, frag, isFragment := s.judge(p, inbound), packet.Fragment{}, false
		if frag, isFragment = p.Fragment(); inbound && reason == filter.ReasonFragmentOrphan {
			waiting[datagramOf(p)] = append(waiting[datagramOf(p)], p)
			continue
		}
		if reason == filter.ReasonNone {
			pass(p)
		}
		if !isFragment || frag.Offset != 0 {
			continue
		}
		late := waiting[datagramOf(p)]
		delete(waiting, datagramOf(p))
		slices.SortStableFunc(late, func(a, b *packet.Parsed) int {
			f, _ := a.Fragment()
			g, _ := b.Fragment()
			return f.Offset - g.Offset
		})
		for _, q := range late {
			if reason == filter.ReasonNone && s.judge(q, inbound) == filter.ReasonNone {
				pass(q)
			}
		}
	}
	if inbound {
		rig.WantPackets(s.T, "in", s.FromPeer(pkts...), want...)
	} else {
		rig.WantPackets(s.T, "out", s.FromHost(pkts...), want...)
	}
}

// datagramOf names the datagram of a fragment.
func datagramOf(p *packet.Parsed) string {
	f, _ := p.Fragment()
	return fmt.Sprint(p.Src.Addr(), p.Dst.Addr(), p.Proto(), f.ID)
}

// judge returns why p is dropped.
func (s *runScript) judge(p *packet.Parsed, inbound bool) filter.Reason {
	switch {
	case p.IPVersion == 0:
		return filter.ReasonMalformed
	case p.Proto() == ipproto.TSMP:
		return filter.ReasonBadTSMP
	case inbound:
		return s.naive.In(p, filter.Now(), 0).Reason
	}
	v := s.naive.Out(p, filter.Now(), 0)
	if v.Response == filter.Accept {
		s.naive.Record(p, filter.Now())
	}
	return v.Reason
}

func (s *runScript) count(p *packet.Parsed, inbound bool) {
	k := netlogtype.Connection{Proto: p.Proto(), Src: p.Src, Dst: p.Dst}
	n := netlogtype.Counts{TxPackets: 1, TxBytes: uint64(len(p.Buffer()))}
	if inbound {
		s.passed[1]++
		k.Src, k.Dst = p.Dst, p.Src
		n = netlogtype.Counts{RxPackets: 1, RxBytes: uint64(len(p.Buffer()))}
	} else {
		s.passed[0]++
	}
	if f, ok := p.Fragment(); ok && f.Offset == 0 {
		s.firsts[datagramOf(p)] = k
	} else if first, known := s.firsts[datagramOf(p)]; ok && known {
		k = first
	}
	s.stats[k] = s.stats[k].Add(n)
}

func (s *runScript) play(steps int) {
	s.T.Helper()
	for range steps {
		switch s.rng.IntN(30) {
		case 0:
			s.swap()
		case 1:
			s.wantStatistics()
		default:
			s.step(s.rng.IntN(2) == 0)
		}
	}
	s.wantStatistics()
	c := s.W.Counters()
	if c.Out.Packets != s.passed[0] || c.In.Packets != s.passed[1] {
		s.T.Errorf("counted %d out and %d in, want %v", c.Out.Packets, c.In.Packets, s.passed)
	}
}

func (s *runScript) wantStatistics() {
	s.T.Helper()
	got := s.W.ExtractStatistics()
	if fmt.Sprint(got) != fmt.Sprint(s.stats) {
		s.T.Errorf("statistics\n%v\nwant\n%v", got, s.stats)
	}
	s.stats = make(map[netlogtype.Connection]netlogtype.Counts)
}

// TestRunsAreOnlyFaster: verdicts and counts are those of packets that are
// looked at one by one.
func TestRunsAreOnlyFaster(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { newRunScript(t, seed).play(300) })
	}
}

// TestHooksSeePacketsOfRuns: each of them, whatever the filter has to do.
func TestHooksSeePacketsOfRuns(t *testing.T) {
	for seed := range uint64(5) {
		s := newRunScript(t, seed)
		var before, after [2]uint64
		count := func(n *uint64) func(*packet.Parsed, *tstun.Wrapper) filter.Response {
			return func(*packet.Parsed, *tstun.Wrapper) filter.Response { *n++; return filter.Accept }
		}
		s.W.PreFilterIn, s.W.PostFilterIn = count(&before[1]), count(&after[1])
		s.W.PreFilterFromTunToNetstack, s.W.PostFilterOut = count(&before[0]), count(&after[0])
		s.play(300)
		if after != s.passed || before[0] <= after[0] || before[1] <= after[1] {
			t.Errorf("hooks saw %v before and %v after the filter, %v passed", before, after, s.passed)
		}
	}
}
