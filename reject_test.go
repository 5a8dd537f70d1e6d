package tstun_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/race"
	"tstun/ipproto"
	"tstun/packet"
)

func TestRejectReset(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 1)
		r.Allow(rig.To(rig.Port(80)))
		r.W.SetReject(tstun.RejectReset)
		r.FromPeer(craft.TCP(peer, 1000, host, 81, packet.TCPSyn, ""))
		p := rig.Parse(t, r.Read(1)[0])
		if p.IPProto != ipproto.TCP || p.TCPFlags&packet.TCPRst == 0 || p.Src != netip.AddrPortFrom(host, 81) || p.Dst != netip.AddrPortFrom(peer, 1000) {
			t.Errorf("answer to a SYN is %v, want a reset", p)
		}
		refused := craft.UDP(peer, 1000, host, 81, "x")
		r.FromPeer(refused)
		p = rig.Parse(t, r.Read(1)[0])
		var quote packet.Parsed
		if !p.IsError() || p.Dst.Addr() != peer || !p.Quoted(&quote) || quote.Src != netip.AddrPortFrom(peer, 1000) {
			t.Errorf("answer to UDP is %v, want an ICMP error that quotes it", p)
		}
	})
}

// Who hears a refusal finds it counted, also if the device takes its time for the
// packets that came with it.
func TestRejectIsCountedBeforeItIsHeard(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		synctest.Test(t, func(t *testing.T) {
			r := rig.New(t, 2)
			r.Allow(rig.To(rig.Port(80)))
			r.W.SetReject(tstun.RejectReset)
			r.Dev.OnWrite(func(bufs [][]byte, _ int) (int, error) {
				time.Sleep(time.Second)
				return len(bufs), nil
			})
			heard := make(chan uint64)
			go func() {
				r.Read(1)
				heard <- r.W.Counters().In.Drops[filter.ReasonNoRule]
			}()
			r.FromPeer(craft.TCP(peer, 1000, host, 80, packet.TCPSyn, ""), craft.TCP(peer, 1000, host, 81, packet.TCPSyn, ""))
			if n := <-heard; n != 1 {
				t.Errorf("%d refusals were counted as the first was heard", n)
			}
			r.W.Close()
		})
	})
}

func TestRejectTSMP(t *testing.T) {
	for _, shieldsUp := range []bool{false, true} {
		rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
			r := rig.New(t, 1)
			f, err := filter.New(filter.Config{Local: rig.Local(), ShieldsUp: shieldsUp})
			if err != nil {
				t.Fatal(err)
			}
			r.W.SetFilter(f)
			r.W.SetReject(tstun.RejectTSMP)
			r.FromPeer(craft.TCP(peer, 1000, host, 81, packet.TCPSyn, ""))
			answer := r.Read(1)[0]
			got, ok := rig.Parse(t, answer).AsTSMPRejected()
			want := packet.TSMPRejected{Src: netip.AddrPortFrom(peer, 1000), Dst: netip.AddrPortFrom(host, 81), Proto: ipproto.TCP, Reason: packet.RejectedByRules}
			if shieldsUp {
				want.Reason = packet.RejectedShieldsUp
			}
			if !ok || got != want {
				t.Errorf("answer is %+v, %v; want %+v", got, ok, want)
			}
			testRejectionArrives(t, answer, want)
		})
	}
}

// testRejectionArrives lets the rejection come in at the node that sent the
// refused SYN: a hook sees it, the host does not, and only if there was such
// a SYN.
func testRejectionArrives(t *testing.T, rejection []byte, want packet.TSMPRejected) {
	client, server := want.Src, want.Dst
	f, err := filter.New(filter.Config{Local: []netip.Prefix{netip.PrefixFrom(client.Addr(), client.Addr().BitLen())}})
	if err != nil {
		t.Fatal(err)
	}
	r := rig.New(t, 1)
	var seen []packet.TSMPRejected
	r.W.PostFilterIn = func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
		if rej, ok := p.AsTSMPRejected(); ok {
			seen = append(seen, rej)
		}
		return filter.Accept
	}
	r.W.SetFilter(f)
	r.WantDrop(true, filter.ReasonNoFlow, func() { r.FromPeer(rejection) })
	r.FromHost(craft.TCP(client.Addr(), client.Port(), server.Addr(), server.Port(), packet.TCPSyn, ""))
	rig.WantPackets(t, "to the host", r.FromPeer(rejection))
	if len(seen) != 1 || seen[0] != want {
		t.Errorf("the hook saw %+v, want %+v", seen, want)
	}
}

// A ping that is refused is named by its identifier, which the pinger's filter knows it by.
func TestRejectTSMPOfPing(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 1)
		r.Allow(rig.To(rig.Port(80), ipproto.UDP))
		r.W.SetReject(tstun.RejectTSMP)
		r.FromPeer(craft.SCTP(netip.AddrPortFrom(peer, 1), netip.AddrPortFrom(host, 2))) // is not answered
		r.FromPeer(craft.Echo(peer, host, 77, false))
		answer := r.Read(1)[0]
		got, ok := rig.Parse(t, answer).AsTSMPRejected()
		if !ok || got.Src != netip.AddrPortFrom(peer, 77) || got.Dst.Addr() != host || !got.Proto.IsICMP() || got.Reason != packet.RejectedByRules {
			t.Fatalf("answer is %+v, %v", got, ok)
		}
		pinger := rig.New(t, 1)
		f, err := filter.New(filter.Config{Local: []netip.Prefix{netip.PrefixFrom(peer, peer.BitLen())}})
		if err != nil {
			t.Fatal(err)
		}
		pinger.W.SetFilter(f)
		pinger.WantDrop(true, filter.ReasonNoFlow, func() { pinger.FromPeer(answer) })
		pinger.FromHost(craft.Echo(peer, host, 77, false))
		rig.WantPackets(t, "to the host", pinger.FromPeer(answer))
		if c := pinger.W.Counters(); c.In.Packets != 1 {
			t.Errorf("the rejection of a ping that was sent: %+v", c.In)
		}
	})
}

// What a host that does not speak TSMP says of a message ends at the Wrapper, and nothing
// else does.
func TestErrorAboutTSMP(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 1)
		r.Allow(rig.To(rig.Port(80)))
		about := func(src, dst netip.Addr) []byte { // protocol unreachable, or unknown next header
			return craft.ICMP(peer, host, 3, 4, map[bool]byte{true: 2, false: 1}[host.Is4()], [4]byte{}, craft.TSMPPing(src, dst))
		}
		rig.WantPackets(t, "to the host", r.FromPeer(about(host, peer)))
		if c := r.W.Counters().In; c.Packets != 1 || c.Dropped() != 0 {
			t.Errorf("about a message of this side's: %+v", c)
		}
		r.WantDrop(true, filter.ReasonNoFlow, func() { r.FromPeer(about(peer, host)) })
	})
}

// TestRejectAnswersOnlyPolicy: no answer to what an answer could make worse.
func TestRejectAnswersOnlyPolicy(t *testing.T) {
	for _, mode := range []tstun.Reject{tstun.RejectReset, tstun.RejectTSMP, tstun.RejectNone} {
		for name, pkt := range map[string][]byte{
			"reset":     craft.TCP(peer4, 1000, host4, 81, packet.TCPRst, ""),
			"not local": craft.TCP(peer4, 1000, peer4, 81, packet.TCPSyn, ""),
			"error":     packet.Generate(packet.ICMPHeader{Src: peer4, Dst: host4, Type: 3, Code: 1}, craft.UDP(host4, 1, peer4, 2, "x")),
			"orphan":    craft.Fragment(craft.UDP(peer4, 1000, host4, 81, "0123456789abcdef"), 16, 8, false),
			"malformed": []byte("no packet"),
		} {
			r := rig.New(t, 1)
			r.Allow(rig.To(rig.Port(80)))
			r.W.SetReject(mode)
			rig.WantPackets(t, name, r.FromPeer(pkt))
			next := craft.UDP(host4, 4, peer4, 4, "next") // an answer would come before it
			rig.WantPackets(t, fmt.Sprint(mode, " after ", name), r.FromHost(next), next)
		}
	}
}

func TestAnswersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rig.New(t, 1)
		r.Allow(rig.To(rig.Port(80)))
		r.W.SetReject(tstun.RejectReset)
		answers := func() (n int) {
			for i := range 5000 {
				r.FromPeer(craft.UDP(peer4, uint16(i), host4, 81, "x"))
				before := r.W.Counters().Out
				if err := r.W.InjectOutbound(craft.UDP(host4, 1, peer4, 2, "marker")); err != nil {
					t.Fatal(err)
				}
				for rig.Parse(t, r.Read(1)[0]).IPProto != ipproto.UDP {
				}
				n += int(r.W.Counters().Out.Packets-before.Packets) - 1
			}
			return n
		}
		if n := answers(); n != 1024 {
			t.Errorf("%d answers at once, want 1024", n)
		}
		time.Sleep(time.Second / 2)
		if n := answers(); n != 403 { // 1024 × (1 - e^-½)
			t.Errorf("%d answers after half a second, want 403", n)
		}
		r.W.Close()
	})
}

// TestRefusedFloodLeavesRoomForTheProgram: peers cannot fill the queue that
// the program injects into.
func TestRefusedFloodLeavesRoomForTheProgram(t *testing.T) {
	r := rig.New(t, 1)
	r.Allow(rig.To(rig.Port(80)))
	r.W.SetReject(tstun.RejectReset)
	for i := range 3000 {
		r.FromPeer(craft.UDP(peer4, uint16(i), host4, 81, "x"))
	}
	for range 500 {
		if err := r.W.InjectOutbound(craft.UDP(host4, 1, peer4, 2, "x")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLesson25RefusalsLeaveTheHostsConnections: nothing is answered that may
// belong to what the host began.
func TestLesson25RefusalsLeaveTheHostsConnections(t *testing.T) {
	const syn, ack = packet.TCPSyn, packet.TCPAck
	type segment struct {
		out   bool
		flags packet.TCPFlag
	}
	tests := []struct {
		name   string
		before []segment
		in     packet.TCPFlag
		mode   tstun.Reject
		reset  bool
	}{
		{"a new connection", nil, syn, tstun.RejectReset, true},
		{"the peer's second SYN in a simultaneous open", []segment{{true, syn}, {false, syn}}, syn, tstun.RejectReset, false},
		{"and after the host's answer", []segment{{true, syn}, {false, syn}, {true, syn | ack}}, syn, tstun.RejectReset, false},
		{"and its repetition", []segment{{true, syn}, {false, syn}, {true, syn}, {true, syn | ack}, {false, syn}}, syn, tstun.RejectResetAll, false},
		{"a SYN in the host's connection", []segment{{true, syn}, {false, syn | ack}, {true, ack}}, syn, tstun.RejectReset, false},
		{"a segment in mid-stream", nil, packet.TCPPsh | ack, tstun.RejectReset, false},
		{"a late SYN-ACK", nil, syn | ack, tstun.RejectReset, false},
		{"a late FIN", nil, packet.TCPFin | ack, tstun.RejectReset, false},
		{"a segment in mid-stream, as the program wants", nil, packet.TCPPsh | ack, tstun.RejectResetAll, true},
		{"a new connection, with all answers", nil, syn, tstun.RejectResetAll, true},
	}
	for _, tt := range tests {
		rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
			t.Run(tt.name, func(t *testing.T) {
				r := rig.New(t, 1)
				r.Allow()
				r.W.SetReject(tt.mode)
				for _, s := range tt.before {
					if s.out {
						r.FromHost(craft.TCP(host, 50000, peer, 22, s.flags, ""))
					} else {
						r.FromPeer(craft.TCP(peer, 22, host, 50000, s.flags, ""))
					}
				}
				r.FromPeer(craft.TCP(peer, 22, host, 50000, tt.in, ""))
				got := r.Queued()
				if (len(got) == 1) != tt.reset {
					t.Errorf("%d answers, want one: %v", len(got), tt.reset)
				}
				for _, b := range got {
					if p := rig.Parse(t, b); p.TCPFlags&packet.TCPRst == 0 {
						t.Errorf("the answer is %v", p)
					}
				}
			})
		})
	}
}

// TestSimultaneousOpen: the connection comes about, also if the host's SYN and
// its answer are lost.
func TestSimultaneousOpen(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 1)
		r.Allow()
		out := func(flags packet.TCPFlag) { r.FromHost(craft.TCP(host, 50000, peer, 22, flags, "")) }
		in := func(flags packet.TCPFlag) {
			t.Helper()
			if got := r.FromPeer(craft.TCP(peer, 22, host, 50000, flags, "")); len(got) != 1 {
				t.Errorf("%v does not reach the host", flags)
			}
		}
		out(packet.TCPSyn)
		for range 2 {
			in(packet.TCPSyn)
			out(packet.TCPSynAck)
		}
		in(packet.TCPSyn)
		in(packet.TCPSynAck)
		out(packet.TCPAck)
		in(packet.TCPAck)
		r.WantDrop(true, filter.ReasonNoRule, func() { r.FromPeer(craft.TCP(peer, 22, host, 50000, packet.TCPSyn, "")) })
	})
}

// TestUnansweredRefusalsDoNotAllocate: an answer is made only if it may go.
func TestUnansweredRefusalsDoNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	r := rig.New(t, 1)
	r.Allow()
	r.W.SetReject(tstun.RejectReset)
	syn := append(make([]byte, offset), craft.TCP(peer4, 1, host4, 22, packet.TCPSyn, "")...)
	bufs := [][]byte{syn}
	write := func() {
		if _, err := r.W.Write(bufs, offset); err != nil {
			t.Fatal(err)
		}
	}
	for range 5000 {
		write()
	}
	if n := testing.AllocsPerRun(1000, write); n > 0.1 { // some answers still go
		t.Errorf("%v allocations for each refusal", n)
	}
}
