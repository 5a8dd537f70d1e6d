package tstun_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// record returns a hook that notes its name in order and answers res.
func record(order *[]string, name string, res filter.Response) tstun.FilterFunc {
	return func(p *packet.Parsed, w *tstun.Wrapper) filter.Response {
		if p.IPVersion == 0 || w == nil {
			panic("hook without packet or Wrapper")
		}
		*order = append(*order, name)
		return res
	}
}

func TestHooksRunInOrder(t *testing.T) {
	var order []string
	r := rig.New(t, 4)
	r.W.PreFilterFromTunToEngine = record(&order, "engine", filter.Accept)
	r.W.PreFilterFromTunToNetstack = record(&order, "netstack", filter.Accept)
	r.W.PostFilterOut = record(&order, "post-out", filter.Accept)
	r.W.PreFilterIn = record(&order, "pre-in", filter.Accept)
	r.W.PostFilterIn = record(&order, "post-in", filter.Accept)
	r.W.OnICMPEchoResponseReceived = func(*packet.Parsed) bool { order = append(order, "echo"); return false }
	r.Allow(rig.To(rig.Port(80)))

	r.FromHost(craft.UDP(host4, 1, peer4, 1, "x"), craft.Echo(host4, peer4, 7, false))
	want := []string{"netstack", "engine", "post-out", "netstack", "engine", "post-out"}
	if !slices.Equal(order, want) {
		t.Errorf("outbound order %v, want %v", order, want)
	}
	order = nil
	r.FromPeer(craft.TCP(peer4, 1, host4, 80, packet.TCPSyn, ""), craft.TCP(peer4, 1, host4, 81, packet.TCPSyn, ""), craft.Echo(peer4, host4, 7, true))
	want = []string{"pre-in", "post-in", "pre-in", "echo", "pre-in", "post-in"}
	if !slices.Equal(order, want) {
		t.Errorf("inbound order %v, want %v", order, want)
	}
}

func TestHooksSeeEveryPacketOfARun(t *testing.T) {
	var out, in int
	r := rig.New(t, 16)
	r.W.PostFilterOut = func(*packet.Parsed, *tstun.Wrapper) filter.Response { out++; return filter.Accept }
	r.W.PostFilterIn = func(*packet.Parsed, *tstun.Wrapper) filter.Response { in++; return filter.Accept }
	r.W.SetFilter(filter.NewAllowAll(nil))
	var there, back [][]byte
	for i := range 16 {
		there = append(there, craft.UDP(host4, 1, peer4, 1, fmt.Sprint(i)))
		back = append(back, craft.UDP(peer4, 1, host4, 1, fmt.Sprint(i)))
	}
	rig.WantPackets(t, "out", r.FromHost(there...), there...)
	rig.WantPackets(t, "in", r.FromPeer(back...), back...)
	if out != 16 || in != 16 {
		t.Errorf("hooks saw %d and %d packets, want 16", out, in)
	}
}

// TestLesson05HandledPacketsGoNowhereElse: what a hook took must not reach
// the device or WireGuard, nor a later hook, and still counts.
func TestLesson05HandledPacketsGoNowhereElse(t *testing.T) {
	hooks := map[string]func(*tstun.Wrapper, tstun.FilterFunc){
		"PreFilterIn":                func(w *tstun.Wrapper, f tstun.FilterFunc) { w.PreFilterIn = f },
		"PostFilterIn":               func(w *tstun.Wrapper, f tstun.FilterFunc) { w.PostFilterIn = f },
		"PreFilterFromTunToNetstack": func(w *tstun.Wrapper, f tstun.FilterFunc) { w.PreFilterFromTunToNetstack = f },
		"PreFilterFromTunToEngine":   func(w *tstun.Wrapper, f tstun.FilterFunc) { w.PreFilterFromTunToEngine = f },
		"PostFilterOut":              func(w *tstun.Wrapper, f tstun.FilterFunc) { w.PostFilterOut = f },
	}
	for name, set := range hooks {
		for _, res := range []filter.Response{filter.Handled, filter.Drop, filter.DropSilently, filter.Response(99)} {
			t.Run(fmt.Sprint(name, "/", res), func(t *testing.T) {
				rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
					testHookResponse(t, set, name, res, host, peer)
				})
			})
		}
	}
}

func testHookResponse(t *testing.T, set func(*tstun.Wrapper, tstun.FilterFunc), name string, res filter.Response, host, peer netip.Addr) {
	r := rig.New(t, 2)
	set(r.W, func(*packet.Parsed, *tstun.Wrapper) filter.Response { return res })
	r.W.SetFilter(filter.NewAllowAll(nil))
	r.W.SetStatisticsEnabled(true)
	in, out := craft.UDP(peer, 5, host, 6, "in"), craft.UDP(host, 8, peer, 7, "outbound")
	inbound := name == "PreFilterIn" || name == "PostFilterIn"
	wantIn, wantOut := [][]byte{in}, [][]byte{out}
	if inbound {
		wantIn = nil
	} else {
		wantOut = nil
	}
	rig.WantPackets(t, "to the device", r.FromPeer(in), wantIn...)
	rig.WantPackets(t, "to WireGuard", r.FromHost(out), wantOut...)

	taken := uint64(1)
	if res != filter.Handled {
		taken = 0
	}
	c := r.W.Counters()
	mine, size := c.Out, uint64(len(out))
	if inbound {
		mine, size = c.In, uint64(len(in))
	}
	if mine.Packets != taken || mine.Bytes != taken*size || mine.Drops[filter.ReasonHook] != 1-taken {
		t.Errorf("counted %+v, want %d taken", mine, taken)
	}
	var packets uint64
	for _, n := range r.W.ExtractStatistics() {
		packets += n.RxPackets + n.TxPackets
	}
	if packets != 1+taken {
		t.Errorf("statistics hold %d packets, want %d", packets, 1+taken)
	}
}

func TestOnICMPEchoResponseReceived(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 1)
		r.Allow(rig.Everything())
		r.W.OnICMPEchoResponseReceived = func(p *packet.Parsed) bool { return p.EchoID() == 7 }
		rig.WantPackets(t, "consumed", r.FromPeer(craft.Echo(peer, host, 7, true)))
		r.WantDrop(true, filter.ReasonNoFlow, func() { r.FromPeer(craft.Echo(peer, host, 8, true)) })
		request := craft.Echo(peer, host, 7, false)
		rig.WantPackets(t, "request", r.FromPeer(request), request)
		if c := r.W.Counters(); c.In.Packets != 2 {
			t.Errorf("%d packets counted, want 2", c.In.Packets)
		}
	})
}

func TestTSMP(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		var pongs []packet.TSMPPongReply
		r := rig.New(t, 2)
		r.W.OnTSMPPongReceived = func(p packet.TSMPPongReply) { pongs = append(pongs, p) }
		r.W.PeerAPIPort = func(a netip.Addr) (uint16, bool) { return 4242, a == host }
		ping := packet.Generate(packet.TSMPPing{IPHeader: packet.IPHeader{Src: peer, Dst: host}, Data: [8]byte{1, 2, 3}}, nil)
		rig.WantPackets(t, "ping", r.FromPeer(ping))
		got := r.Read(1)
		if len(got) != 1 {
			t.Fatal("no pong")
		}
		pong, ok := rig.Parse(t, got[0]).AsTSMPPong()
		if !ok || pong.Data != [8]byte{1, 2, 3} || pong.PeerAPIPort != 4242 {
			t.Errorf("pong is %+v, %v", pong, ok)
		}
		if p := rig.Parse(t, got[0]); p.Src.Addr() != host || p.Dst.Addr() != peer {
			t.Errorf("pong goes from %v to %v", p.Src, p.Dst)
		}
		back := packet.Generate(packet.TSMPPongReply{IPHeader: packet.IPHeader{Src: peer, Dst: host}, Data: [8]byte{9}, PeerAPIPort: 5}, nil)
		rig.WantPackets(t, "pong", r.FromPeer(back))
		if len(pongs) != 1 || pongs[0].Data != [8]byte{9} || pongs[0].PeerAPIPort != 5 {
			t.Errorf("OnTSMPPongReceived got %+v", pongs)
		}
		if c := r.W.Counters(); c.In.Packets != 2 || c.In.Dropped() != 0 {
			t.Errorf("counted %+v, want 2 packets and no drops", c.In)
		}
	})
}

// TestLesson14HostCannotForgeControlPackets: the host must not be able to
// speak TSMP in the node's name, in no form.
func TestLesson14HostCannotForgeControlPackets(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 1)
		r.W.SetFilter(filter.NewAllowAll(nil))
		header := packet.IPHeader{Src: host, Dst: peer}
		whole := packet.Generate(packet.TSMPPing{IPHeader: header}, nil)
		for name, pkt := range map[string][]byte{
			"ping":           whole,
			"pong":           packet.Generate(packet.TSMPPongReply{IPHeader: header}, nil),
			"rejected":       packet.Generate(packet.TSMPRejected{Src: netip.AddrPortFrom(peer, 1), Dst: netip.AddrPortFrom(host, 2), Proto: 6, Reason: 'A'}, nil),
			"first fragment": craft.Fragment(whole, 0, 8, true),
			"later fragment": craft.Fragment(whole, 8, 1, false),
			"no type":        packet.Generate(packet.IPHeader{Src: host, Dst: peer, Proto: 99}, nil),
		} {
			t.Run(name, func(t *testing.T) {
				r.WantDrop(false, filter.ReasonHostTSMP, func() { rig.WantPackets(t, "out", r.FromHost(pkt)) })
			})
		}
	})
}

// TestPingOfNoHostIsNotAnswered: nobody can make the Wrapper speak in the name
// of an address that is no host's.
func TestPingOfNoHostIsNotAnswered(t *testing.T) {
	r := rig.New(t, 1)
	for _, h := range []packet.IPHeader{
		{Src: peer4, Dst: netip.MustParseAddr("255.255.255.255")},
		{Src: peer4, Dst: netip.MustParseAddr("224.0.0.1")},
		{Src: netip.MustParseAddr("127.0.0.1"), Dst: host4},
		{Src: netip.MustParseAddr("ff02::1"), Dst: host6},
	} {
		ping := packet.Generate(packet.TSMPPing{IPHeader: h}, nil)
		r.WantDrop(true, filter.ReasonBadTSMP, func() { rig.WantPackets(t, "in", r.FromPeer(ping)) })
	}
	if c := r.W.Counters(); c.Out.Packets != 0 {
		t.Errorf("%d answers", c.Out.Packets)
	}
}

func TestBadTSMPFromPeer(t *testing.T) {
	rig.Families(t, func(t *testing.T, host, peer netip.Addr) {
		r := rig.New(t, 1)
		r.W.SetFilter(filter.NewAllowAll(nil))
		whole := packet.Generate(packet.TSMPPing{IPHeader: packet.IPHeader{Src: peer, Dst: host}}, nil)
		for name, pkt := range map[string][]byte{
			"first fragment": craft.Fragment(whole, 0, 8, true),
			"later fragment": craft.Fragment(whole, 8, 1, false),
			"unknown type":   packet.Generate(packet.IPHeader{Src: peer, Dst: host, Proto: 99}, []byte("zzzzzzzz")),
			"too short":      packet.Generate(packet.IPHeader{Src: peer, Dst: host, Proto: 99}, []byte("p12345")),
		} {
			t.Run(name, func(t *testing.T) {
				r.WantDrop(true, filter.ReasonBadTSMP, func() { rig.WantPackets(t, "in", r.FromPeer(pkt)) })
			})
		}
	})
}

// TestHooksAreBoundAtTheFirstPacket: a hook that is set later is not called, and
// one log line says so, whichever field it is and whatever was in it.
func TestHooksAreBoundAtTheFirstPacket(t *testing.T) {
	var calls int
	hook := func(*packet.Parsed, *tstun.Wrapper) filter.Response { calls++; return filter.Drop }
	other := func(*packet.Parsed, *tstun.Wrapper) filter.Response { return filter.Accept }
	tests := map[string]func(w *tstun.Wrapper){
		"PreFilterIn":                func(w *tstun.Wrapper) { w.PreFilterIn = hook },
		"PostFilterIn":               func(w *tstun.Wrapper) { w.PostFilterIn = hook }, // in place of other
		"PreFilterFromTunToNetstack": func(w *tstun.Wrapper) { w.PreFilterFromTunToNetstack = hook },
		"PreFilterFromTunToEngine":   func(w *tstun.Wrapper) { w.PreFilterFromTunToEngine = hook },
		"PostFilterOut":              func(w *tstun.Wrapper) { w.PostFilterOut = hook },
		"OnTSMPPongReceived":         func(w *tstun.Wrapper) { w.OnTSMPPongReceived = func(packet.TSMPPongReply) { calls++ } },
		"OnICMPEchoResponseReceived": func(w *tstun.Wrapper) {
			w.OnICMPEchoResponseReceived = func(*packet.Parsed) bool { calls++; return true }
		},
		"PeerAPIPort": func(w *tstun.Wrapper) {
			w.PeerAPIPort = func(netip.Addr) (uint16, bool) { calls++; return 22, true }
		},
	}
	for name, set := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls = 0
				r, log := loggingRig(t)
				defer r.W.Close()
				r.W.PostFilterIn = other
				r.Allow(rig.To(rig.Port(2)), rig.To(rig.Port(1)))
				pong := packet.Generate(packet.TSMPPongReply{IPHeader: packet.IPHeader{Src: peer4, Dst: host4}}, nil)
				all := [][]byte{in4, pong, craft.Echo(peer4, host4, 1, true), craft.TCP(peer4, 1, host4, 22, packet.TCPSyn, "")}
				traffic := func() {
					time.Sleep(time.Second)
					rig.WantPackets(t, "from the peer", r.FromPeer(all...), in4)
					rig.WantPackets(t, "from the host", r.FromHost(out4), out4)
				}
				traffic()
				wantLines(t, log, "was set after the first packet", 0)
				set(r.W)
				for range 3 {
					traffic()
				}
				wantLines(t, log, name+" was set after the first packet, so it is not called", 1)
				if calls != 0 {
					t.Errorf("it was called %d times", calls)
				}
			})
		})
	}
}

// A program that sets its hooks where all is dropped hears of it, too.
func TestLateHookWhereAllIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, log := loggingRig(t)
		defer r.W.Close()
		r.FromPeer(in4)
		r.W.PreFilterIn = func(*packet.Parsed, *tstun.Wrapper) filter.Response { return filter.Accept }
		time.Sleep(time.Second)
		r.FromPeer(in4)
		wantLines(t, log, "PreFilterIn was set after the first packet", 1)
		r.W.PeerAPIPort = func(netip.Addr) (uint16, bool) { return 0, false }
		for range 2 { // which is told too, and neither again
			time.Sleep(time.Second)
			r.FromPeer(in4)
		}
		wantLines(t, log, "PeerAPIPort was set after the first packet", 1)
		wantLines(t, log, "was set after the first packet", 2)
	})
}
