package tstun_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
)

func TestRejectReset(t *testing.T) {
	families(t, func(t *testing.T, host, peer netip.Addr) {
		r := newRig(t, 1)
		r.allow(to(port(80)))
		r.w.SetReject(tstun.RejectReset)
		r.fromPeer(tcp(peer, 1000, host, 81, packet.TCPSyn, ""))
		p := parse(t, r.read(1)[0])
		if p.IPProto != ipproto.TCP || p.TCPFlags&packet.TCPRst == 0 || p.Src != netip.AddrPortFrom(host, 81) || p.Dst != netip.AddrPortFrom(peer, 1000) {
			t.Errorf("answer to a SYN is %v, want a reset", p)
		}
		refused := udp(peer, 1000, host, 81, "x")
		r.fromPeer(refused)
		p = parse(t, r.read(1)[0])
		var quote packet.Parsed
		if !p.IsError() || p.Dst.Addr() != peer || !p.Quoted(&quote) || quote.Src != netip.AddrPortFrom(peer, 1000) {
			t.Errorf("answer to UDP is %v, want an ICMP error that quotes it", p)
		}
	})
}

func TestRejectTSMP(t *testing.T) {
	for _, shieldsUp := range []bool{false, true} {
		families(t, func(t *testing.T, host, peer netip.Addr) {
			r := newRig(t, 1)
			f, err := filter.New(filter.Config{Local: local(), ShieldsUp: shieldsUp})
			if err != nil {
				t.Fatal(err)
			}
			r.w.SetFilter(f)
			r.w.SetReject(tstun.RejectTSMP)
			r.fromPeer(tcp(peer, 1000, host, 81, packet.TCPSyn, ""))
			answer := r.read(1)[0]
			got, ok := parse(t, answer).AsTSMPRejected()
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
	r := newRig(t, 1)
	var seen []packet.TSMPRejected
	r.w.PostFilterIn = func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
		if rej, ok := p.AsTSMPRejected(); ok {
			seen = append(seen, rej)
		}
		return filter.Accept
	}
	r.w.SetFilter(f)
	r.wantDrop(true, filter.ReasonNoFlow, func() { r.fromPeer(rejection) })
	r.fromHost(tcp(client.Addr(), client.Port(), server.Addr(), server.Port(), packet.TCPSyn, ""))
	wantPackets(t, "to the host", r.fromPeer(rejection))
	if len(seen) != 1 || seen[0] != want {
		t.Errorf("the hook saw %+v, want %+v", seen, want)
	}
}

// TestRejectAnswersOnlyPolicy: no answer to what an answer could make worse.
func TestRejectAnswersOnlyPolicy(t *testing.T) {
	for _, mode := range []tstun.Reject{tstun.RejectReset, tstun.RejectTSMP, tstun.RejectNone} {
		for name, pkt := range map[string][]byte{
			"reset":     tcp(peer4, 1000, host4, 81, packet.TCPRst, ""),
			"not local": tcp(peer4, 1000, peer4, 81, packet.TCPSyn, ""),
			"error":     packet.Generate(packet.ICMPHeader{Src: peer4, Dst: host4, Type: 3, Code: 1}, udp(host4, 1, peer4, 2, "x")),
			"orphan":    fragment(udp(peer4, 1000, host4, 81, "0123456789abcdef"), 16, 8, false),
			"malformed": []byte("no packet"),
		} {
			r := newRig(t, 1)
			r.allow(to(port(80)))
			r.w.SetReject(mode)
			wantPackets(t, name, r.fromPeer(pkt))
			next := udp(host4, 4, peer4, 4, "next") // an answer would come before it
			wantPackets(t, fmt.Sprint(mode, " after ", name), r.fromHost(next), next)
		}
	}
}

func TestAnswersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.allow(to(port(80)))
		r.w.SetReject(tstun.RejectReset)
		answers := func() (n int) {
			for i := range 5000 {
				r.fromPeer(udp(peer4, uint16(i), host4, 81, "x"))
				before := r.w.Counters().Out
				if err := r.w.InjectOutbound(udp(host4, 1, peer4, 2, "marker")); err != nil {
					t.Fatal(err)
				}
				for parse(t, r.read(1)[0]).IPProto != ipproto.UDP {
				}
				n += int(r.w.Counters().Out.Packets-before.Packets) - 1
			}
			return n
		}
		if n := answers(); n != 1024 {
			t.Errorf("%d answers at once, want 1024", n)
		}
		time.Sleep(time.Second / 2)
		if n := answers(); n != 500 {
			t.Errorf("%d answers after half a second, want 500", n)
		}
		r.w.Close()
	})
}

// TestRefusedFloodLeavesRoomForTheProgram: peers cannot fill the queue that
// the program injects into.
func TestRefusedFloodLeavesRoomForTheProgram(t *testing.T) {
	r := newRig(t, 1)
	r.allow(to(port(80)))
	r.w.SetReject(tstun.RejectReset)
	for i := range 3000 {
		r.fromPeer(udp(peer4, uint16(i), host4, 81, "x"))
	}
	for range 500 {
		if err := r.w.InjectOutbound(udp(host4, 1, peer4, 2, "x")); err != nil {
			t.Fatal(err)
		}
	}
}
