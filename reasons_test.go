package tstun_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/key"
	"tstun/packet"
)

// Policy is tested through the Wrapper, with bytes, both ways: rules that are
// right behind a stage that drops everything help nobody.

// TestLesson10EachDropHasItsOwnReason raises every reason there is, each
// under its own name and no other.
func TestLesson10EachDropHasItsOwnReason(t *testing.T) {
	long := craft.UDP(peer4, 5, host4, 80, "0123456789abcdefghijklmnopqrstuvwxyz")
	deniedLong := craft.UDP(peer4, 5, host4, 81, "0123456789abcdefghijklmnopqrstuvwxyz")
	own := key.DiscoPublicFromRaw32([32]byte{1})
	mapped := netip.MustParseAddr("::ffff:100.64.0.2")
	inbound := map[filter.Reason]func(r *rig.Rig) []byte{
		filter.ReasonMalformed: func(*rig.Rig) []byte { return []byte{0x45, 0} },
		filter.ReasonTruncated: func(*rig.Rig) []byte {
			return packet.Generate(packet.IPHeader{Src: peer4, Dst: host4, Proto: ipproto.TCP}, []byte("abc"))
		},
		filter.ReasonExtensionHeaders: func(*rig.Rig) []byte {
			return packet.Generate(packet.IPHeader{Src: peer6, Dst: host6, Proto: 60}, []byte{60, 99, 0, 0, 0, 0, 0, 0})
		},
		filter.ReasonIPOptions: func(*rig.Rig) []byte {
			// A loose source route with one hop to go, where the first 8 bytes of payload were.
			pkt := packet.Generate(packet.IPHeader{Src: peer4, Dst: host4, Proto: ipproto.GRE}, []byte{131, 7, 4, 100, 64, 0, 9, 0})
			pkt[0] = 0x47
			return pkt
		},
		filter.ReasonMulticast:  func(*rig.Rig) []byte { return craft.UDP(peer4, 1, netip.MustParseAddr("224.0.0.1"), 80, "x") },
		filter.ReasonLinkLocal:  func(*rig.Rig) []byte { return craft.UDP(netip.MustParseAddr("fe80::1"), 1, host6, 80, "x") },
		filter.ReasonMappedAddr: func(*rig.Rig) []byte { return craft.UDP(mapped, 1, host6, 80, "x") },
		filter.ReasonMartian:    func(*rig.Rig) []byte { return craft.UDP(netip.MustParseAddr("127.0.0.1"), 1, host4, 80, "x") },
		filter.ReasonNotLocal:   func(*rig.Rig) []byte { return craft.UDP(peer4, 1, netip.MustParseAddr("100.64.0.9"), 80, "x") },
		filter.ReasonFragmentTiny: func(*rig.Rig) []byte {
			return craft.Fragment(craft.TCP(peer4, 1, host4, 80, packet.TCPSyn, "data"), 0, 8, true)
		},
		filter.ReasonFragmentOverlap: func(r *rig.Rig) []byte {
			r.FromPeer(craft.Fragment(long, 0, 24, true))
			return craft.Fragment(long, 16, 8, false)
		},
		filter.ReasonFragmentOrphan: func(r *rig.Rig) []byte {
			for range 64 { // are held for a first one
				r.FromPeer(craft.Fragment(long, 24, 8, false))
			}
			return craft.Fragment(long, 24, 8, false)
		},
		filter.ReasonFragmentDenied: func(r *rig.Rig) []byte {
			r.FromPeer(craft.Fragment(deniedLong, 0, 24, true))
			return craft.Fragment(deniedLong, 24, 8, false)
		},
		filter.ReasonNoRule: func(*rig.Rig) []byte { return craft.UDP(peer4, 1, host4, 81, "x") },
		filter.ReasonShieldsUp: func(r *rig.Rig) []byte {
			f, err := filter.New(filter.Config{Local: rig.Local(), Matches: []filter.Match{rig.Everything()}, ShieldsUp: true})
			if err != nil {
				r.T.Fatal(err)
			}
			r.W.SetFilter(f)
			return craft.UDP(peer4, 1, host4, 80, "x")
		},
		filter.ReasonJailed: func(r *rig.Rig) []byte {
			if err := r.W.SetPeers([]tstun.Peer{{Prefixes: []netip.Prefix{netip.PrefixFrom(peer4, 32)}, Jailed: true}}); err != nil {
				r.T.Fatal(err)
			}
			return craft.UDP(peer4, 1, host4, 80, "x")
		},
		filter.ReasonNoFlow: func(*rig.Rig) []byte { return craft.Echo(peer4, host4, 1, true) },
		filter.ReasonRevoked: func(r *rig.Rig) []byte {
			pkt := craft.UDP(peer4, 1, host4, 80, "x")
			r.FromPeer(pkt)
			f, err := filter.New(filter.Config{Local: rig.Local(), State: r.W.GetFilter().State()})
			if err != nil {
				r.T.Fatal(err)
			}
			r.W.SetFilter(f)
			return pkt
		},
		filter.ReasonNoFilter: func(r *rig.Rig) []byte { r.W.SetFilter(nil); return craft.UDP(peer4, 1, host4, 80, "x") },
		filter.ReasonHook: func(r *rig.Rig) []byte {
			r.W.PreFilterIn = func(*packet.Parsed, *tstun.Wrapper) filter.Response { return filter.Drop }
			return craft.UDP(peer4, 1, host4, 80, "x")
		},
		filter.ReasonOwnDisco: func(r *rig.Rig) []byte { r.W.SetDiscoKey(own); return disco(peer4, host4, own) },
		filter.ReasonBadTSMP: func(*rig.Rig) []byte {
			return packet.Generate(packet.IPHeader{Src: peer4, Dst: host4, Proto: ipproto.TSMP}, []byte("?234567"))
		},
		filter.ReasonDevice: func(r *rig.Rig) []byte {
			r.Dev.OnWrite(func([][]byte, int) (int, error) { return 0, fmt.Errorf("refused") })
			return craft.UDP(peer4, 1, host4, 80, "x")
		},
	}
	// These have tests of their own: they are raised on the way out, or by
	// the queue.
	elsewhere := map[filter.Reason]bool{
		filter.ReasonHostTSMP:  true, // TestLesson14HostCannotForgeControlPackets
		filter.ReasonQueueFull: true, // TestLesson04HookThatInjectsCannotDeadlock
		filter.ReasonTooLarge:  true, // TestLesson15PacketLargerThanTheCallersBuffer
		filter.ReasonClosed:    true, // TestCloseReleasesQueuedPacketBuffers
	}
	for _, reason := range filter.Reasons() {
		provoke := inbound[reason]
		if provoke == nil {
			if !elsewhere[reason] {
				t.Errorf("no test raises %v: put a packet that does into inbound, or the test that does into elsewhere", reason)
			}
			continue
		}
		t.Run(reason.String(), func(t *testing.T) {
			r := rig.New(t, 1)
			r.Allow(rig.To(rig.Port(80)))
			pkt := provoke(r)
			r.WantDrop(true, reason, func() {
				_, _ = r.W.Write(rig.Wire(pkt), offset)
			})
		})
	}
}

// TestLesson11RulesActThroughTheWrapper checks verdicts of rules with bytes
// through Write, and that the same packets outbound are free.
func TestLesson11RulesActThroughTheWrapper(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		for _, tt := range []struct {
			name string
			rule filter.Match
			pkt  []byte
			want bool
		}{
			{"TCP rule, its port", rig.To(rig.Port(80), ipproto.TCP), craft.TCP(peer, 1, host, 80, packet.TCPSyn, ""), true},
			{"TCP rule, another port", rig.To(rig.Port(80), ipproto.TCP), craft.TCP(peer, 1, host, 81, packet.TCPSyn, ""), false},
			{"TCP rule, UDP", rig.To(rig.Port(80), ipproto.TCP), craft.UDP(peer, 1, host, 80, "x"), false},
			{"TCP rule, ping", rig.To(rig.Port(80), ipproto.TCP), craft.Echo(peer, host, 1, false), false},
			{"plain rule, ping", rig.To(rig.Port(80)), craft.Echo(peer, host, 1, false), true},
			{"plain rule, GRE", rig.To(filter.AllPorts), packet.Generate(packet.IPHeader{Src: peer, Dst: host, Proto: ipproto.GRE}, []byte("data")), false},
			{"GRE rule, GRE", rig.To(filter.AllPorts, ipproto.GRE), packet.Generate(packet.IPHeader{Src: peer, Dst: host, Proto: ipproto.GRE}, []byte("data")), true},
			{"GRE rule, TCP", rig.To(filter.AllPorts, ipproto.GRE), craft.TCP(peer, 1, host, 80, packet.TCPSyn, ""), false},
		} {
			t.Run(tt.name, func(t *testing.T) {
				r := rig.New(t, 1)
				r.Allow(tt.rule)
				var want [][]byte
				if tt.want {
					want = append(want, tt.pkt)
				}
				rig.WantPackets(t, "inbound", r.FromPeer(bytes.Clone(tt.pkt)), want...)
				r = rig.New(t, 1)
				r.Allow(tt.rule)
				rig.WantPackets(t, "outbound", r.FromHost(bytes.Clone(tt.pkt)), tt.pkt)
			})
		}
	})
}

// TestLesson12DirectionsAreNotMixedUp: what the host may send is not what it
// may get, for each protocol, before and after the host spoke.
func TestLesson12DirectionsAreNotMixedUp(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		protocols := map[string]struct{ out, in []byte }{
			"udp":  {craft.UDP(host, 1000, peer, 53, "q"), craft.UDP(peer, 53, host, 1000, "a")},
			"tcp":  {craft.TCP(host, 1000, peer, 80, packet.TCPSyn, ""), craft.TCP(peer, 80, host, 1000, packet.TCPSynAck, "")},
			"echo": {craft.Echo(host, peer, 9, false), craft.Echo(peer, host, 9, true)},
			"gre": {packet.Generate(packet.IPHeader{Src: host, Dst: peer, Proto: ipproto.GRE}, []byte("data")),
				packet.Generate(packet.IPHeader{Src: peer, Dst: host, Proto: ipproto.GRE}, []byte("data"))},
		}
		for name, p := range protocols {
			t.Run(name, func(t *testing.T) {
				r := rig.New(t, 1)
				r.Allow() // no rules
				rig.WantPackets(t, "in before out", r.FromPeer(p.in))
				rig.WantPackets(t, "out", r.FromHost(p.out), p.out)
				rig.WantPackets(t, "in after out", r.FromPeer(p.in), p.in)
				for other, q := range protocols {
					if other != name {
						rig.WantPackets(t, other+" after "+name, r.FromPeer(q.in))
					}
				}
			})
		}
	})
}

// TestLesson13RulesChangeInMidFlow: re-judge, keep and fresh.
func TestLesson13RulesChangeInMidFlow(t *testing.T) {
	for _, mode := range []string{"re-judge", "keep", "fresh"} {
		t.Run(mode, func(t *testing.T) {
			rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
				r := rig.New(t, 1)
				f := r.Allow(rig.To(rig.Port(80)))
				fromPeer := craft.UDP(peer, 1000, host, 80, "request")
				r.FromPeer(fromPeer)
				r.FromHost(craft.UDP(host, 80, peer, 1000, "response"))
				r.FromHost(craft.UDP(host, 5000, peer, 53, "query"))
				answer := craft.UDP(peer, 53, host, 5000, "answer")

				c := filter.Config{Local: rig.Local(), State: f.State(), Keep: mode == "keep"}
				if mode == "fresh" {
					c.State = nil
				}
				next, err := filter.New(c)
				if err != nil {
					t.Fatal(err)
				}
				r.W.SetFilter(next)
				var wantPeers, wantHosts [][]byte
				if mode == "keep" {
					wantPeers = [][]byte{fromPeer}
				}
				if mode != "fresh" {
					wantHosts = [][]byte{answer}
				}
				rig.WantPackets(t, "the peer's flow", r.FromPeer(fromPeer), wantPeers...)
				rig.WantPackets(t, "the host's flow", r.FromPeer(answer), wantHosts...)
				if mode == "re-judge" {
					r.FromHost(craft.UDP(host, 80, peer, 1000, "still talking"))
					rig.WantPackets(t, "the revoked flow after the host spoke", r.FromPeer(fromPeer))
				}
			})
		})
	}
}

// TestLesson08FragmentsFollowTheFirst, through the Wrapper.
func TestLesson08FragmentsFollowTheFirst(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 1)
		r.Allow(rig.To(rig.Port(80)))
		allowed := craft.UDP(peer, 5, host, 80, "0123456789abcdefghijklmnopqrstuvwxyz")
		denied := craft.UDP(peer, 5, host, 81, "0123456789abcdefghijklmnopqrstuvwxyz")
		first, later := craft.Fragment(allowed, 0, 24, true), craft.Fragment(allowed, 24, 20, false)
		rig.WantPackets(t, "later alone", r.FromPeer(later))
		rig.WantPackets(t, "denied", r.FromPeer(craft.Fragment(denied, 0, 24, true), craft.Fragment(denied, 24, 20, false)))
		rig.WantPackets(t, "allowed", r.FromPeer(first, later), first, later)
		r.W.SetFilter(filter.NewAllowNone(nil))
		rig.WantPackets(t, "allow none", r.FromPeer(first, later))
	})
}

// TestHotSwapDropsNothingThatBothFiltersAccept: filters are swapped as fast as
// can be while packets flow both ways; what old and new rules allow passes
// without a gap, what neither allows never does.
func TestHotSwapDropsNothingThatBothFiltersAccept(t *testing.T) {
	r := rig.New(t, 16)
	r.Dev.OnWrite(func(b [][]byte, _ int) (int, error) { return len(b), nil })
	state := filter.NewAllowNone(nil).State()
	next := func(i int) {
		extra := rig.To(rig.Port(uint16(1000+i%7)), ipproto.UDP) // differs from filter to filter
		f, err := filter.New(filter.Config{
			Matches: []filter.Match{rig.To(rig.Port(80)), extra}, Local: rig.Local(), State: state, Keep: i%3 == 0,
		})
		if err != nil {
			t.Error(err)
			return
		}
		r.W.SetFilter(f)
	}
	next(0)
	stop := make(chan struct{})
	var swapper, writers sync.WaitGroup
	swapper.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				next(i)
			}
		}
	})
	const rounds, size = 3000, 16
	for g := range 2 {
		writers.Go(func() {
			buf := make([][]byte, size)
			for i := range rounds {
				for j := range buf {
					pkt := craft.UDP(peer4, uint16(g*1000+j), host4, 80, "allowed by all")
					switch j % 4 {
					case 1:
						pkt = craft.UDP(peer4, uint16(i), host4, 81, "allowed by none")
					case 2:
						flags := packet.TCPAck
						if i == 0 {
							flags = packet.TCPSyn
						}
						pkt = craft.TCP(peer4, uint16(g*1000+j), host4, 80, flags, "an open connection")
					}
					buf[j] = append(make([]byte, offset), pkt...)
				}
				if _, err := r.W.Write(buf, offset); err != nil {
					t.Error(err)
				}
			}
		})
	}
	rig.Soon(t, "the writers", writers.Wait)
	close(stop)
	swapper.Wait()
	c := r.W.Counters().In
	if want := uint64(2 * rounds * size * 3 / 4); c.Packets != want || c.Drops[filter.ReasonNoRule] != want/3 || c.Dropped() != want/3 {
		t.Errorf("counted %+v, want %d passed and %d refused by the rules", c, want, want/3)
	}
}

// TestSwapKeepsTheAnswersToTheHost under every way to change the rules.
func TestSwapKeepsTheAnswersToTheHost(t *testing.T) {
	for name, config := range map[string]func(*filter.State) filter.Config{
		"re-judge": func(s *filter.State) filter.Config { return filter.Config{State: s} },
		"keep":     func(s *filter.State) filter.Config { return filter.Config{State: s, Keep: true} },
		"shields":  func(s *filter.State) filter.Config { return filter.Config{State: s, ShieldsUp: true} },
	} {
		t.Run(name, func(t *testing.T) {
			rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
				r := rig.New(t, 1)
				f := r.Allow()
				r.FromHost(craft.TCP(host, 4000, peer, 443, packet.TCPSyn, ""))
				for range 3 {
					c := config(f.State())
					c.Local = rig.Local()
					next, err := filter.New(c)
					if err != nil {
						t.Fatal(err)
					}
					r.W.SetFilter(next)
					answer := craft.TCP(peer, 443, host, 4000, packet.TCPSynAck, "")
					rig.WantPackets(t, "answer", r.FromPeer(answer), answer)
				}
			})
		})
	}
}
