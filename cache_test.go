package tstun_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/key"
	"tstun/packet"
	"tstun/tundev"
)

// twins is two Wrappers that everything happens to alike, but that one gets
// packets in batches, and the other one by one, each under a configuration
// of its own, so that it never has a cached verdict.
type twins struct {
	*fickleRig
	plain *fickleRig
	rng   *rand.Rand
	own   key.DiscoPublic
	disco key.DiscoPublic // what is set
}

// The peers: one plain, one jailed, one that knows the host's addresses by
// other names, one of which is an address of the host's too.
var (
	jailedPeer = netip.MustParseAddr("100.64.0.3")
	natPeer    = netip.MustParseAddr("100.64.0.4")
	second4    = netip.MustParseAddr("100.64.0.8")
	alias      = netip.MustParseAddr("100.64.0.9")
)

// fickleRig is a rig on a device that loses packets.
type fickleRig struct {
	*rig.Rig
	written [][]byte
}

func newTwins(t *testing.T, seed uint64) *twins {
	s := &twins{
		fickleRig: &fickleRig{Rig: rig.New(t, 40)}, plain: &fickleRig{Rig: rig.New(t, 1)}, rng: rand.New(rand.NewPCG(seed, 2)),
		own: key.DiscoPublicFromRaw32([32]byte{1}),
	}
	s.both(func(r *fickleRig) {
		r.Dev.OnWrite(r.fickle)
		r.W.PeerAPIPort = func(netip.Addr) (uint16, bool) { return 81, true }
	})
	s.swap()
	return s
}

func (s *twins) both(f func(r *fickleRig)) {
	f(s.fickleRig)
	f(s.plain)
}

// fickle is a Write that loses packets by what is in them.
func (r *fickleRig) fickle(bufs [][]byte, offset int) (int, error) {
	return lose(bufs, func(i int) bool {
		b := bufs[i][offset:]
		if crc32.ChecksumIEEE(b)%8 == 0 {
			return true
		}
		r.written = append(r.written, bytes.Clone(b))
		return false
	})
}

// lose is a Write that loses packet i if isLost says so.
func lose(bufs [][]byte, isLost func(i int) bool) (int, error) {
	var lost []int
	for i := range bufs {
		if isLost(i) {
			lost = append(lost, i)
		}
	}
	if lost == nil {
		return len(bufs), nil
	}
	return len(bufs) - len(lost), &tundev.WriteError{Lost: lost, Err: errFickle}
}

var errFickle = errors.New("fickle")

// swap puts another filter in force, on the state of the one before or not.
func (s *twins) swap() {
	fresh := s.rng.IntN(4) == 0
	c := filter.Config{
		Matches:   []filter.Match{rig.To(rig.Port(uint16(80 + s.rng.IntN(2))))},
		Local:     rig.Local(host4, host6, second4),
		Keep:      s.rng.IntN(3) == 0,
		ShieldsUp: s.rng.IntN(6) == 0,
		LooseTCP:  s.rng.IntN(6) == 0,
	}
	if s.rng.IntN(3) == 0 {
		c.Local = rig.Local(host6)
	}
	s.both(func(r *fickleRig) {
		c := c
		if old := r.W.GetFilter(); old != nil && !fresh {
			c.State = old.State()
		}
		f, err := filter.New(c)
		if err != nil {
			s.T.Fatal(err)
		}
		r.W.SetFilter(f)
	})
}

func (s *twins) setPeers() {
	var peers []tstun.Peer
	if s.rng.IntN(3) > 0 {
		peers = append(peers, tstun.Peer{Prefixes: rig.Local(jailedPeer), Jailed: true})
	}
	if s.rng.IntN(3) > 0 {
		peers = append(peers, tstun.Peer{Prefixes: rig.Local(natPeer), NAT: []tstun.NAT{{Host: host4, As: second4}, {Host: second4, As: alias}}})
	}
	s.both(func(r *fickleRig) {
		if err := r.W.SetPeers(peers); err != nil {
			s.T.Fatal(err)
		}
	})
}

func (s *twins) packet(inbound bool, host, peer netip.Addr, isTCP bool) []byte {
	src, dst := netip.AddrPortFrom(host, 80), netip.AddrPortFrom(peer, uint16(1000+s.rng.IntN(2)))
	if inbound {
		src, dst = dst, src
	}
	if !isTCP {
		if s.rng.IntN(10) == 0 {
			p := rig.Parse(s.T, disco(src.Addr(), dst.Addr(), s.own))
			return craft.UDP(src.Addr(), src.Port(), dst.Addr(), dst.Port(), string(p.Payload()))
		}
		return craft.UDP(src.Addr(), src.Port(), dst.Addr(), dst.Port(), fmt.Sprintf("%020d", s.rng.IntN(1000)))
	}
	flags := packet.TCPAck
	switch s.rng.IntN(25) {
	case 0:
		flags = packet.TCPSyn
	case 1:
		flags = packet.TCPSynAck
	case 2:
		flags = packet.TCPRst
	case 3:
		flags |= packet.TCPFin
	case 4, 5:
		flags |= packet.TCPPsh
	}
	return craft.TCP(src.Addr(), src.Port(), dst.Addr(), dst.Port(), flags, fmt.Sprintf("%020d", s.rng.IntN(1000)))
}

// traffic is runs of few flows of one direction.
func (s *twins) traffic(inbound bool) (pkts [][]byte) {
	for n := 1 + s.rng.IntN(39); len(pkts) < n; {
		host, peer := host4, []netip.Addr{peer4, jailedPeer, natPeer, peer6}[s.rng.IntN(4)]
		switch {
		case peer.Is6():
			host = host6
		case peer == natPeer:
			host = []netip.Addr{host4, second4, alias}[s.rng.IntN(3)]
		}
		isTCP := s.rng.IntN(2) == 0
		for range min(n-len(pkts), 1+s.rng.IntN(8)) {
			b := s.packet(inbound, host, peer, isTCP)
			if s.rng.IntN(20) == 0 {
				b = craft.Fragment(b, 0, 24, true)
			}
			pkts = append(pkts, b)
		}
	}
	return pkts
}

// alone has f called without cached verdicts.
func (s *twins) alone(f func(w *tstun.Wrapper)) {
	s.plain.W.SetDiscoKey(s.disco)
	f(s.plain.W)
}

func (s *twins) in() {
	pkts := s.traffic(true)
	if _, err := s.W.Write(rig.Wire(pkts...), offset); err != nil && !errors.Is(err, errFickle) {
		s.T.Fatal(err)
	}
	for _, b := range rig.Wire(pkts...) {
		s.alone(func(w *tstun.Wrapper) { w.Write([][]byte{b}, offset) })
	}
	rig.WantPackets(s.T, "in", s.written, s.plain.written...)
	s.written, s.plain.written = nil, nil
}

func (s *twins) out() {
	pkts := s.traffic(false)
	got := s.FromHost(pkts...)
	var want [][]byte
	for _, b := range pkts {
		s.alone(func(*tstun.Wrapper) { want = append(want, s.plain.FromHost(b)...) })
	}
	rig.WantPackets(s.T, "out", got, want...)
}

func (s *twins) inject() {
	out, in := s.traffic(false)[0], s.traffic(true)[0]
	s.both(func(r *fickleRig) {
		if err := r.W.InjectOutbound(bytes.Clone(out)); err != nil {
			s.T.Fatal(err)
		}
		r.Read(1)
		if err := r.W.InjectInboundCopy(in); err != nil && !errors.Is(err, errFickle) {
			s.T.Fatal(err)
		}
	})
}

func (s *twins) step() {
	switch s.rng.IntN(40) {
	case 0:
		s.swap()
	case 1:
		s.setPeers()
	case 2:
		s.disco = []key.DiscoPublic{{}, s.own}[s.rng.IntN(2)]
		s.both(func(r *fickleRig) { r.W.SetDiscoKey(s.disco) })
	case 3, 4:
		on := s.rng.IntN(3) > 0
		s.both(func(r *fickleRig) { r.W.SetStatisticsEnabled(on) })
	case 5:
		s.compare()
	case 6, 7:
		s.inject()
	default:
		if s.rng.IntN(2) == 0 {
			s.in()
		} else {
			s.out()
		}
	}
}

func (s *twins) compare() {
	s.T.Helper()
	if got, want := s.W.ExtractStatistics(), s.plain.W.ExtractStatistics(); !maps.Equal(got, want) {
		s.T.Errorf("statistics\n%v\nwant\n%v", got, want)
	}
	if got, want := fmt.Sprint(s.W.Counters()), fmt.Sprint(s.plain.W.Counters()); got != want {
		s.T.Errorf("counters\n%v\nwant\n%v", got, want)
	}
}

// TestCachedVerdictsChangeNothing: whatever is set, injected or lost meanwhile.
func TestCachedVerdictsChangeNothing(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newTwins(t, seed)
			for range 400 {
				if s.step(); t.Failed() {
					return
				}
			}
			s.compare()
		})
	}
}

// TestCachedVerdictsPassWithTime: packets that a cached verdict covers keep their
// flow open. The flow ends when its idle timeout is over: on the nanosecond where
// the last packet came alone, else early by the verdict's time at most, and never
// late.
func TestCachedVerdictsPassWithTime(t *testing.T) {
	for _, timeout := range []time.Duration{40 * time.Millisecond, time.Second, time.Minute} {
		cached := min(timeout/64, 100*time.Millisecond)
		for _, gap := range []time.Duration{
			cached / 10, cached / 2, cached - 1, cached, cached + 1, 2 * cached, timeout / 2, timeout - cached, timeout - 1,
		} {
			slack := cached
			if gap >= cached {
				slack = 0
			}
			synctest.Test(t, func(t *testing.T) { wantOpen(t, timeout, gap, slack) })
		}
	}
}

// wantOpen has a peer answer a flow of the host's with packets that are gap
// apart, for long, and then late.
func wantOpen(t *testing.T, timeout, gap, slack time.Duration) {
	r := idleRig(t, true)
	defer r.W.Close()
	f, err := filter.New(filter.Config{Local: rig.Local(), Limits: filter.Limits{UDPUnreplied: timeout, UDPReplied: timeout}})
	must(t, err)
	r.W.SetFilter(f)
	r.FromHost(craft.UDP(host4, 2, peer4, 1, "x"))
	answer := craft.UDP(peer4, 1, host4, 2, "x")
	rig.WantPackets(t, "the first", r.FromPeer(answer), answer)
	for since := time.Duration(0); since < 3*timeout; since += gap {
		time.Sleep(gap)
		if got := r.FromPeer(answer); len(got) != 1 {
			t.Fatalf("timeout %v, packets %v apart: one was refused after %v", timeout, gap, since)
		}
	}
	time.Sleep(timeout - slack - 1)
	rig.WantPackets(t, "in time", r.FromPeer(answer), answer)
	time.Sleep(timeout)
	r.WantDrop(true, filter.ReasonNoRule, func() { r.FromPeer(answer) })
	if t.Failed() {
		t.Logf("timeout %v, packets %v apart", timeout, gap)
	}
}
