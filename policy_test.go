package tstun_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/key"
	"tstun/packet"
)

// Policy is tested through the Wrapper, with bytes, both ways: rules that are
// right behind a stage that drops everything help nobody.

// TestLesson10EachDropHasItsOwnReason raises every reason there is, each
// under its own name and no other.
func TestLesson10EachDropHasItsOwnReason(t *testing.T) {
	long := udp(peer4, 5, host4, 80, "0123456789abcdefghijklmnopqrstuvwxyz")
	deniedLong := udp(peer4, 5, host4, 81, "0123456789abcdefghijklmnopqrstuvwxyz")
	own := key.DiscoPublicFromRaw32([32]byte{1})
	mapped := netip.MustParseAddr("::ffff:100.64.0.2")
	inbound := map[filter.Reason]func(r *rig) []byte{
		filter.ReasonMalformed: func(*rig) []byte { return []byte{0x45, 0} },
		filter.ReasonTruncated: func(*rig) []byte {
			return packet.Generate(packet.IPHeader{Src: peer4, Dst: host4, Proto: ipproto.TCP}, []byte("abc"))
		},
		filter.ReasonExtensionHeaders: func(*rig) []byte {
			return packet.Generate(packet.IPHeader{Src: peer6, Dst: host6, Proto: 60}, []byte{60, 99, 0, 0, 0, 0, 0, 0})
		},
		filter.ReasonIPOptions: func(*rig) []byte {
			// A loose source route with one hop to go, where the first 8 bytes of payload were.
			pkt := packet.Generate(packet.IPHeader{Src: peer4, Dst: host4, Proto: ipproto.GRE}, []byte{131, 7, 4, 100, 64, 0, 9, 0})
			pkt[0] = 0x47
			return pkt
		},
		filter.ReasonMulticast:    func(*rig) []byte { return udp(peer4, 1, netip.MustParseAddr("224.0.0.1"), 80, "x") },
		filter.ReasonLinkLocal:    func(*rig) []byte { return udp(netip.MustParseAddr("fe80::1"), 1, host6, 80, "x") },
		filter.ReasonMappedAddr:   func(*rig) []byte { return udp(mapped, 1, host6, 80, "x") },
		filter.ReasonMartian:      func(*rig) []byte { return udp(netip.MustParseAddr("127.0.0.1"), 1, host4, 80, "x") },
		filter.ReasonNotLocal:     func(*rig) []byte { return udp(peer4, 1, netip.MustParseAddr("100.64.0.9"), 80, "x") },
		filter.ReasonFragmentTiny: func(*rig) []byte { return fragment(tcp(peer4, 1, host4, 80, packet.TCPSyn, "data"), 0, 8, true) },
		filter.ReasonFragmentOverlap: func(r *rig) []byte {
			r.fromPeer(fragment(long, 0, 24, true))
			return fragment(long, 16, 8, false)
		},
		filter.ReasonFragmentOrphan: func(r *rig) []byte {
			for range 64 { // are held for a first one
				r.fromPeer(fragment(long, 24, 8, false))
			}
			return fragment(long, 24, 8, false)
		},
		filter.ReasonFragmentDenied: func(r *rig) []byte {
			r.fromPeer(fragment(deniedLong, 0, 24, true))
			return fragment(deniedLong, 24, 8, false)
		},
		filter.ReasonNoRule: func(*rig) []byte { return udp(peer4, 1, host4, 81, "x") },
		filter.ReasonShieldsUp: func(r *rig) []byte {
			f, err := filter.New(filter.Config{Local: local(), Matches: []filter.Match{everything()}, ShieldsUp: true})
			if err != nil {
				r.t.Fatal(err)
			}
			r.w.SetFilter(f)
			return udp(peer4, 1, host4, 80, "x")
		},
		filter.ReasonJailed: func(r *rig) []byte {
			if err := r.w.SetPeers([]tstun.Peer{{Prefixes: []netip.Prefix{netip.PrefixFrom(peer4, 32)}, Jailed: true}}); err != nil {
				r.t.Fatal(err)
			}
			return udp(peer4, 1, host4, 80, "x")
		},
		filter.ReasonNoFlow: func(*rig) []byte { return echo(peer4, host4, 1, true) },
		filter.ReasonRevoked: func(r *rig) []byte {
			pkt := udp(peer4, 1, host4, 80, "x")
			r.fromPeer(pkt)
			f, err := filter.New(filter.Config{Local: local(), State: r.w.GetFilter().State()})
			if err != nil {
				r.t.Fatal(err)
			}
			r.w.SetFilter(f)
			return pkt
		},
		filter.ReasonNoFilter: func(r *rig) []byte { r.w.SetFilter(nil); return udp(peer4, 1, host4, 80, "x") },
		filter.ReasonHook: func(r *rig) []byte {
			r.w.PreFilterIn = func(*packet.Parsed, *tstun.Wrapper) filter.Response { return filter.Drop }
			return udp(peer4, 1, host4, 80, "x")
		},
		filter.ReasonOwnDisco: func(r *rig) []byte { r.w.SetDiscoKey(own); return disco(peer4, host4, own) },
		filter.ReasonBadTSMP: func(*rig) []byte {
			return packet.Generate(packet.IPHeader{Src: peer4, Dst: host4, Proto: ipproto.TSMP}, []byte("?234567"))
		},
		filter.ReasonDevice: func(r *rig) []byte {
			r.dev.OnWrite(func([][]byte, int) (int, error) { return 0, fmt.Errorf("refused") })
			return udp(peer4, 1, host4, 80, "x")
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
				t.Errorf("no test raises %v", reason)
			}
			continue
		}
		t.Run(reason.String(), func(t *testing.T) {
			r := newRig(t, 1)
			r.allow(to(port(80)))
			pkt := provoke(r)
			r.wantDrop(true, reason, func() {
				_, _ = r.w.Write([][]byte{append(make([]byte, offset), pkt...)}, offset)
			})
		})
	}
}

// TestLesson11RulesActThroughTheWrapper checks verdicts of rules with bytes
// through Write, and that the same packets outbound are free.
func TestLesson11RulesActThroughTheWrapper(t *testing.T) {
	families(t, func(t *testing.T, host, peer netip.Addr) {
		for _, tt := range []struct {
			name string
			rule filter.Match
			pkt  []byte
			want bool
		}{
			{"TCP rule, its port", to(port(80), ipproto.TCP), tcp(peer, 1, host, 80, packet.TCPSyn, ""), true},
			{"TCP rule, another port", to(port(80), ipproto.TCP), tcp(peer, 1, host, 81, packet.TCPSyn, ""), false},
			{"TCP rule, UDP", to(port(80), ipproto.TCP), udp(peer, 1, host, 80, "x"), false},
			{"TCP rule, ping", to(port(80), ipproto.TCP), echo(peer, host, 1, false), false},
			{"plain rule, ping", to(port(80)), echo(peer, host, 1, false), true},
			{"plain rule, GRE", to(filter.AllPorts), packet.Generate(packet.IPHeader{Src: peer, Dst: host, Proto: ipproto.GRE}, []byte("data")), false},
			{"GRE rule, GRE", to(filter.AllPorts, ipproto.GRE), packet.Generate(packet.IPHeader{Src: peer, Dst: host, Proto: ipproto.GRE}, []byte("data")), true},
			{"GRE rule, TCP", to(filter.AllPorts, ipproto.GRE), tcp(peer, 1, host, 80, packet.TCPSyn, ""), false},
		} {
			t.Run(tt.name, func(t *testing.T) {
				r := newRig(t, 1)
				r.allow(tt.rule)
				var want [][]byte
				if tt.want {
					want = append(want, tt.pkt)
				}
				wantPackets(t, "inbound", r.fromPeer(bytes.Clone(tt.pkt)), want...)
				r = newRig(t, 1)
				r.allow(tt.rule)
				wantPackets(t, "outbound", r.fromHost(bytes.Clone(tt.pkt)), tt.pkt)
			})
		}
	})
}

// TestLesson12DirectionsAreNotMixedUp: what the host may send is not what it
// may get, for each protocol, before and after the host spoke.
func TestLesson12DirectionsAreNotMixedUp(t *testing.T) {
	families(t, func(t *testing.T, host, peer netip.Addr) {
		protocols := map[string]struct{ out, in []byte }{
			"udp":  {udp(host, 1000, peer, 53, "q"), udp(peer, 53, host, 1000, "a")},
			"tcp":  {tcp(host, 1000, peer, 80, packet.TCPSyn, ""), tcp(peer, 80, host, 1000, packet.TCPSynAck, "")},
			"echo": {echo(host, peer, 9, false), echo(peer, host, 9, true)},
			"gre": {packet.Generate(packet.IPHeader{Src: host, Dst: peer, Proto: ipproto.GRE}, []byte("data")),
				packet.Generate(packet.IPHeader{Src: peer, Dst: host, Proto: ipproto.GRE}, []byte("data"))},
		}
		for name, p := range protocols {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, 1)
				r.allow() // no rules
				wantPackets(t, "in before out", r.fromPeer(p.in))
				wantPackets(t, "out", r.fromHost(p.out), p.out)
				wantPackets(t, "in after out", r.fromPeer(p.in), p.in)
				for other, q := range protocols {
					if other != name {
						wantPackets(t, other+" after "+name, r.fromPeer(q.in))
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
			families(t, func(t *testing.T, host, peer netip.Addr) {
				r := newRig(t, 1)
				f := r.allow(to(port(80)))
				fromPeer := udp(peer, 1000, host, 80, "request")
				r.fromPeer(fromPeer)
				r.fromHost(udp(host, 80, peer, 1000, "response"))
				r.fromHost(udp(host, 5000, peer, 53, "query"))
				answer := udp(peer, 53, host, 5000, "answer")

				c := filter.Config{Local: local(), State: f.State(), Keep: mode == "keep"}
				if mode == "fresh" {
					c.State = nil
				}
				next, err := filter.New(c)
				if err != nil {
					t.Fatal(err)
				}
				r.w.SetFilter(next)
				var wantPeers, wantHosts [][]byte
				if mode == "keep" {
					wantPeers = [][]byte{fromPeer}
				}
				if mode != "fresh" {
					wantHosts = [][]byte{answer}
				}
				wantPackets(t, "the peer's flow", r.fromPeer(fromPeer), wantPeers...)
				wantPackets(t, "the host's flow", r.fromPeer(answer), wantHosts...)
				if mode == "re-judge" {
					r.fromHost(udp(host, 80, peer, 1000, "still talking"))
					wantPackets(t, "the revoked flow after the host spoke", r.fromPeer(fromPeer))
				}
			})
		})
	}
}

// TestLesson08FragmentsFollowTheFirst, through the Wrapper.
func TestLesson08FragmentsFollowTheFirst(t *testing.T) {
	families(t, func(t *testing.T, host, peer netip.Addr) {
		r := newRig(t, 1)
		r.allow(to(port(80)))
		allowed := udp(peer, 5, host, 80, "0123456789abcdefghijklmnopqrstuvwxyz")
		denied := udp(peer, 5, host, 81, "0123456789abcdefghijklmnopqrstuvwxyz")
		first, later := fragment(allowed, 0, 24, true), fragment(allowed, 24, 20, false)
		wantPackets(t, "later alone", r.fromPeer(later))
		wantPackets(t, "denied", r.fromPeer(fragment(denied, 0, 24, true), fragment(denied, 24, 20, false)))
		wantPackets(t, "allowed", r.fromPeer(first, later), first, later)
		r.w.SetFilter(filter.NewAllowNone(nil))
		wantPackets(t, "allow none", r.fromPeer(first, later))
	})
}
