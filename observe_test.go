package tstun_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"sync"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/flow"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/race"
	"tstun/internal/rig/testdev"
	"tstun/packet"
)

// seen is what a sink was shown, as copies.
type seen struct {
	packet, wire      string
	inbound, injected bool
	verdict           filter.Verdict
	filter            *filter.Filter
	peer              flow.PeerID
	parsed            string
}

// sink collects observations.
type sink struct {
	mu  sync.Mutex // guards all
	all []seen
}

func (s *sink) observe(o *tstun.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, seen{
		packet: string(o.Packet), wire: string(o.Wire), inbound: o.Inbound, injected: o.Injected,
		verdict: o.Verdict, filter: o.Filter, peer: o.Peer(), parsed: o.Parsed().String(),
	})
}

// take returns what was shown since the last call.
func (s *sink) take() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

func observed(w *tstun.Wrapper) *sink {
	s := new(sink)
	w.SetCapture(s.observe)
	return s
}

// sums returns what Counters says, if it has counted what was shown and no
// more.
func sums(all []seen) (c tstun.Counters) {
	c.In.Drops, c.Out.Drops = make(map[filter.Reason]uint64), make(map[filter.Reason]uint64)
	for _, s := range all {
		d := &c.Out
		if s.inbound {
			d = &c.In
		}
		if s.verdict.Response.IsDrop() {
			d.Drops[s.verdict.Reason]++
			continue
		}
		d.Packets++
		d.Bytes += uint64(len(s.packet))
	}
	c.QueueOverflows = c.Out.Drops[filter.ReasonQueueFull]
	return c
}

// soup returns packets of all kinds from src to dst: known flows in runs, refused
// ones, fragments in any order and of no datagram, malformed and truncated ones.
func soup(rng *rand.Rand, src, dst netip.Addr, n int) (pkts [][]byte) {
	for len(pkts) < n {
		port := uint16(80 + rng.IntN(4))
		switch rng.IntN(8) {
		case 0, 1:
			for range rng.IntN(9) {
				pkts = append(pkts, craft.UDP(src, 5, dst, port, "in a row"))
			}
		case 2:
			pkts = append(pkts, craft.TCP(src, 6, dst, port, packet.TCPFlag(rng.IntN(64)), "data"))
		case 3:
			pkts = append(pkts, craft.Echo(src, dst, 7, rng.IntN(2) == 0))
		case 4:
			pkts = append(pkts, []byte("no packet")[:rng.IntN(10)])
		case 5:
			frags := craft.Fragments(craft.Datagram(src, 8, dst, port, 4000), 1232, uint16(rng.Uint32()))
			rng.Shuffle(len(frags), func(i, j int) { frags[i], frags[j] = frags[j], frags[i] })
			pkts = append(pkts, frags[rng.IntN(2):]...)
		case 6:
			pkts = append(pkts, craft.TSMPPing(src, dst))
		case 7:
			pkts = append(pkts, craft.UDP(src, 9, netip.MustParseAddr("224.0.0.1"), port, "multicast"))
		}
	}
	return pkts
}

// TestEachPacketIsObservedOnce: what a sink is shown adds up to the Counters,
// reason by reason.
func TestEachPacketIsObservedOnce(t *testing.T) {
	for _, hooked := range []bool{false, true} {
		for _, batch := range []int{1, 32} {
			t.Run(fmt.Sprintf("hooked=%v/batch=%d", hooked, batch), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, uint64(batch)))
				r := rig.New(t, batch)
				if hooked {
					r.W.PreFilterIn = func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
						return []filter.Response{filter.Accept, filter.Drop, filter.Handled}[rng.IntN(3)]
					}
					r.W.PostFilterOut = r.W.PreFilterIn
				}
				f := r.Allow(rig.To(filter.PortRange{First: 80, Last: 81}))
				r.W.SetReject(tstun.RejectReset)
				s := observed(r.W)
				for range max(40, 400/batch) {
					pkts := soup(rng, peer4, host4, batch)[:batch]
					if _, err := r.W.Write(rig.Wire(pkts...), offset); err != nil {
						t.Fatal(err)
					}
					r.FromHost(soup(rng, host4, peer4, batch)[:batch]...)
					inject(t, r.W)
				}
				r.Queued()
				r.W.Counters() // gives up fragments
				all := s.take()
				got, want := sums(all), r.W.Counters()
				got.In.Held = want.In.Held // of those nothing is known yet
				if !reflect.DeepEqual(got, want) {
					t.Errorf("shown %+v, counted %+v", got, want)
				}
				for _, o := range all {
					if o.filter != f || o.wire != o.packet {
						t.Fatalf("shown %+v, want the filter, and one view", o)
					}
				}
				if want.In.Packets == 0 || want.Out.Packets == 0 || want.In.Drops[filter.ReasonNoRule] == 0 || want.In.Drops[filter.ReasonMalformed] == 0 {
					t.Errorf("counted %+v: a test of nothing", want)
				}
			})
		}
	}
}

// inject injects a packet each way.
func inject(t *testing.T, w *tstun.Wrapper) {
	t.Helper()
	if err := w.InjectInboundCopy(craft.UDP(peer4, 1, host4, 99, "in")); err != nil {
		t.Fatal(err)
	}
	if err := w.InjectOutbound(craft.UDP(host4, 1, peer4, 99, "out")); err != nil {
		t.Fatal(err)
	}
}

// TestObservation: what each field says.
func TestObservation(t *testing.T) {
	r := rig.New(t, 1)
	peer := tstun.Peer{ID: 7, Prefixes: []netip.Prefix{netip.PrefixFrom(peer4, 32)}}
	if err := r.W.SetPeers([]tstun.Peer{peer}); err != nil {
		t.Fatal(err)
	}
	f := r.Allow(rig.To(rig.Port(80)))
	in, refused, out := craft.UDP(peer4, 5, host4, 80, "x"), craft.UDP(peer4, 5, host4, 81, "x"), craft.UDP(host4, 80, peer4, 5, "y")
	s := observed(r.W)
	want := func(what string, pkt []byte, w seen) {
		t.Helper()
		w.packet, w.wire, w.filter = string(pkt), string(pkt), f
		p := new(packet.Parsed)
		p.Decode(pkt)
		w.parsed = p.String()
		if p.IPVersion != 0 {
			w.peer = flow.NumberedPeer(7)
		}
		if got := s.take(); len(got) != 1 || got[0] != w {
			t.Errorf("%s: shown %+v, want %+v", what, got, w)
		}
	}
	pass := filter.Verdict{Response: filter.Accept}
	for range 4 { // the last ones by the verdict cache
		r.FromPeer(in)
		want("in", in, seen{inbound: true, verdict: pass})
	}
	for range 4 {
		r.FromHost(out)
		want("out", out, seen{verdict: pass})
	}
	r.FromPeer(refused)
	want("refused", refused, seen{inbound: true, verdict: drop(filter.ReasonNoRule)})
	r.FromPeer([]byte("junk"))
	want("malformed", []byte("junk"), seen{inbound: true, verdict: filter.Verdict{Response: filter.Drop, Reason: filter.ReasonMalformed}})
	r.Dev.Script(testdev.Step{N: 1, Sizes: []int{-1}})
	r.Read(1)
	want("malformed to the device", nil, seen{verdict: drop(filter.ReasonMalformed)})
	if err := r.W.InjectInboundCopy(in); err != nil {
		t.Fatal(err)
	}
	want("injected in", in, seen{inbound: true, injected: true, verdict: pass})
	if err := r.W.InjectOutbound(bytes.Clone(out)); err != nil {
		t.Fatal(err)
	}
	r.Read(1)
	want("injected out", out, seen{injected: true, verdict: pass})
	r.W.SetCapture(nil)
	r.FromPeer(in)
	if got := s.take(); len(got) != 0 {
		t.Errorf("shown after the end: %+v", got)
	}
}

func drop(r filter.Reason) filter.Verdict { return filter.Verdict{Response: filter.Drop, Reason: r} }

// TestRefusedInjectionsAreObserved, whatever form they have.
func TestRefusedInjectionsAreObserved(t *testing.T) {
	r := rig.New(t, 1)
	r.Allow(rig.Everything())
	pkt := craft.UDP(host4, 1, peer4, 99, "out")
	for r.W.InjectOutbound(bytes.Clone(pkt)) == nil {
	}
	s := observed(r.W)
	released := 0
	if r.W.InjectOutbound(pkt) == nil || r.W.InjectOutboundPacketBuffer(rig.PacketBuffer(pkt, &released)) == nil {
		t.Fatal("there is still room")
	}
	all := s.take()
	if len(all) != 2 || released != 1 {
		t.Fatalf("shown %+v, %d buffers released", all, released)
	}
	for _, o := range all {
		if o.packet != string(pkt) || !o.injected || o.inbound || o.verdict != drop(filter.ReasonQueueFull) {
			t.Errorf("shown %+v", o)
		}
	}
}

// TestObservedFragments: a held one is shown when it is judged, with the verdict
// of its datagram, or when it is given up.
func TestObservedFragments(t *testing.T) {
	r := rig.New(t, 8)
	r.Allow(rig.To(rig.Port(80)))
	s := observed(r.W)
	for _, port := range []uint16{80, 81} {
		frags := craft.Fragments(craft.Datagram(peer4, 5, host4, port, 100), 32, port)
		r.FromPeer(frags[2], frags[1])
		if got := s.take(); len(got) != 0 {
			t.Errorf("port %d: shown while they are held: %+v", port, got)
		}
		r.FromPeer(frags[0])
		all := s.take()
		if len(all) != 3 || all[0].packet != string(frags[0]) || all[1].packet != string(frags[1]) || all[2].packet != string(frags[2]) {
			t.Errorf("port %d: shown %+v", port, all)
		}
		for _, o := range all {
			if o.verdict.Response.IsDrop() != (port == 81) {
				t.Errorf("port %d: %+v", port, o.verdict)
			}
		}
	}
	frags := craft.Fragments(craft.Datagram(peer4, 5, host4, 80, 100), 32, 9)
	r.FromPeer(frags[1])
	r.W.Close()
	if all := s.take(); len(all) != 1 || all[0].packet != string(frags[1]) || all[0].verdict != drop(filter.ReasonFragmentOrphan) || !all[0].inbound {
		t.Errorf("given up at the end: %+v", all)
	}
}

// TestObservedNAT: both views, both ways, also of what the filter refuses and
// what is injected, and none of the packet before.
func TestObservedNAT(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		as := craft.RandomAddr(host.Is6())
		r := natRig(t, host, peer, as)
		s := observed(r.W)
		want := func(what string, packet, wire []byte) {
			t.Helper()
			if got := s.take(); len(got) != 1 || got[0].packet != string(packet) || got[0].wire != string(wire) {
				t.Errorf("%s: shown %+v, want %x and %x", what, got, packet, wire)
			}
		}
		stranger := craft.RandomAddr(host.Is6())
		for range 3 {
			r.FromHost(craft.UDP(host, 7, peer, 7, "out"))
			want("out", craft.UDP(host, 7, peer, 7, "out"), craft.UDP(as, 7, peer, 7, "out"))
			r.FromPeer(craft.UDP(peer, 7, as, 7, "in"))
			want("in", craft.UDP(peer, 7, host, 7, "in"), craft.UDP(peer, 7, as, 7, "in"))
			r.FromPeer([]byte("x"))
			want("malformed", []byte("x"), []byte("x"))
			r.FromHost(craft.UDP(host, 7, stranger, 7, "out"))
			want("to a stranger", craft.UDP(host, 7, stranger, 7, "out"), craft.UDP(host, 7, stranger, 7, "out"))
		}
		if err := r.W.InjectOutbound(craft.UDP(host, 7, peer, 8, "out")); err != nil {
			t.Fatal(err)
		}
		r.Read(1)
		want("injected", craft.UDP(host, 7, peer, 8, "out"), craft.UDP(as, 7, peer, 8, "out"))
		f, err := filter.New(filter.Config{Local: []netip.Prefix{netip.PrefixFrom(host, host.BitLen())}})
		if err != nil {
			t.Fatal(err)
		}
		r.W.SetFilter(f)
		r.FromPeer(craft.UDP(peer, 9, as, 9, "in"))
		want("refused", craft.UDP(peer, 9, host, 9, "in"), craft.UDP(peer, 9, as, 9, "in"))
	})
}

// TestObservingDoesNotAllocate, nor does it with NAT.
func TestObservingDoesNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes sync.Pool allocate")
	}
	for _, batch := range []int{1, 128} {
		traffic := rig.Loads(batch, 10)["udp"]
		l := rig.NewDirectLoad(t, batch, traffic, true)
		n := 0
		l.W.SetCapture(func(o *tstun.Observation) { n += int(o.Parsed().Dst.Port()) + int(o.Peer()&1) })
		wantNoAllocs(t, len(traffic)/batch, l.Write)
		wantNoAllocs(t, len(traffic)/batch, l.Read)
		nat := tstun.Peer{Prefixes: []netip.Prefix{netip.PrefixFrom(peer4, 32)}, NAT: []tstun.NAT{{Host: host4, As: netip.MustParseAddr("192.0.2.1")}}}
		if err := l.W.SetPeers([]tstun.Peer{nat}); err != nil {
			t.Fatal(err)
		}
		wantNoAllocs(t, len(traffic)/batch, l.Write)
		wantNoAllocs(t, len(traffic)/batch, l.Read)
	}
}

// TestSetCaptureWhilePacketsFlow, with all that may show packets.
func TestSetCaptureWhilePacketsFlow(t *testing.T) {
	traffic := rig.Loads(32, 10)["udp"]
	l := rig.NewLoad(t, 32, traffic, true)
	other := rig.NewLoadOf(t, l.W, 32, traffic)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, f := range []func(){l.Write, other.Read, func() { _ = l.W.InjectOutbound(craft.UDP(host4, 1, peer4, 2, "x")) }} {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					f()
				}
			}
		})
	}
	s := new(sink)
	for i := range 200 {
		if i%2 == 0 {
			l.W.SetCapture(s.observe)
			for len(s.take()) == 0 {
			}
		} else {
			l.W.SetCapture(nil)
		}
	}
	close(done)
	wg.Wait()
}
