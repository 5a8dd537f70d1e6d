package filter_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tstun/filter"
	"tstun/flow"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

// script reads choices from bytes; at their end, all are 0.
type script struct{ data []byte }

func (s *script) pick(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b) % n
}

func pickOf[T any](s *script, of ...T) T { return of[s.pick(len(of))] }

// event makes any packet of a small world.
func (s *script) event() event {
	e := pair{
		addrPort(host4, pickOf[uint16](s, 80, 80, 80, 80, 22)),
		addrPort(pickOf(s, peer4, peer4, peer4, peer4, "100.64.0.3"), pickOf[uint16](s, 5000, 5000, 5000, 5000, 80)),
	}
	if s.pick(4) == 3 {
		e = pair{addrPort(host6, e.host.Port()), addrPort(peer6, e.peer.Port())}
	}
	outward := s.pick(2) == 1
	src, dst := e.peer, e.host
	if outward {
		src, dst = dst, src
	}
	var b []byte
	switch s.pick(8) {
	case 0, 1, 2:
		flags := pickOf(s, syn, synAck, ack, finAck, rst, ack, syn, packet.TCPFin, 0, rst|ack, syn|packet.TCPFin, syn|rst)
		b = packet.Generate(packet.TCPHeader{Src: src, Dst: dst, Flags: flags}, make([]byte, 40))
	case 3, 4:
		b = packet.Generate(packet.UDPHeader{Src: src, Dst: dst}, make([]byte, 52))
	case 5:
		b = craft.SCTP(src, dst)
	case 6:
		b = plain(ipproto.GRE, src, dst)
	case 7:
		typ4, typ6 := byte(8), byte(128)
		switch s.pick(4) {
		case 0, 1:
			typ4, typ6 = 0, 129
		case 2:
			typ4 = pickOf[byte](s, 13, 14, 15, 16, 17, 18, 200)
			typ6 = pickOf[byte](s, 139, 140, 200) // the last ask nothing and are no errors
		}
		b = craft.ICMP(src.Addr(), dst.Addr(), typ4, typ6, 0, echoRest(uint16(s.pick(2))), nil)
	}
	switch s.pick(16) {
	case 1:
		typ4 := pickOf[byte](s, 3, 3, 3, 11, 12, 4, 5)
		b = craft.ICMP(dst.Addr(), src.Addr(), typ4, pickOf[byte](s, 1, 2, 3, 4, 137), 3, [4]byte{}, b)
		outward = !outward
	case 2, 3:
		from := s.pick(5) * 8
		header := 20
		if src.Addr().Is6() {
			header = 40
		}
		if from < len(b)-header {
			b = cut(b, uint32(s.pick(2)), from, from+8+s.pick(5)*8).b
		}
	}
	return event{out: outward, b: b}
}

var worldRules = [][]filter.Match{
	nil,
	{rule(port(80), ipproto.TCP, ipproto.UDP)},
	{rule(port(22)), {IPProto: []ipproto.Proto{ipproto.GRE, ipproto.SCTP}, Srcs: nets(peer4 + "/32"), Dsts: to(filter.AllPorts, host4+"/32")}},
	{{Srcs: nets("100.64.0.3/32"), Dsts: to(filter.AllPorts, "100.64.0.0/10")}, rule(filter.AllPorts, ipproto.SCTP, ipproto.ICMPv6)},
}

// play runs a script on a filter and on its twin.
func play(t *testing.T, s *script) {
	c := filter.Config{Matches: worldRules[s.pick(len(worldRules))]}
	f := newFilter(t, c)
	n := newNaive()
	n.rules = c.Matches
	n.lostNow = func(peer netip.Addr, now int64) bool { return f.MayHaveLost(peer, now) }
	n.fail = t.Fatalf
	now := int64(0)
	for i := 0; len(s.data) > 0; i++ {
		now += int64(pickOf(s, 0, 0, 0, 1, 1, 1, time.Second, time.Second, time.Second, 10*time.Second, 40*time.Second, 100*time.Second, 4*minute, 130*minute))
		if s.pick(20) == 19 {
			c := filter.Config{State: f.State(), Matches: worldRules[s.pick(len(worldRules))],
				Keep: s.pick(3) == 0, ShieldsUp: s.pick(4) == 3}
			f = newFilter(t, c)
			n.replace(c)
			continue
		}
		ev := s.event()
		var p packet.Parsed
		p.Decode(ev.b)
		if ev.out {
			n.lost = f.MayHaveLost(p.Dst.Addr(), now)
			if judge(f, time.Duration(now), ev, 0).Response == filter.Accept {
				n.out(&p, now)
			}
			continue
		}
		awaits := f.Awaits(&p, now)
		var id flow.ID
		id.SetIn(&p)
		got, _ := f.InRun(&p, &id, now, 0, nil, nil)
		want := n.in(&p, now)
		if got.Reason != want || awaits != (want == filter.ReasonFragmentOrphan) {
			t.Fatalf("packet %d at %v, %v: %v, want %v; Awaits %v", i, time.Duration(now), &p, got.Reason, want, awaits)
		}
		if want == none && id.Key() != n.counted(&p) {
			t.Fatalf("packet %d at %v, %v: of the flow %v, want %v", i, time.Duration(now), &p, id.Key(), n.counted(&p))
		}
	}
}

// TestOracle plays random packets, times and changes of rules.
func TestOracle(t *testing.T) {
	runs := 1500
	if testing.Short() {
		runs = 200
	}
	rng := rand.New(rand.NewPCG(7, 7))
	for range runs {
		data := make([]byte, 2000)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		play(t, &script{data})
		if t.Failed() {
			return
		}
	}
}

func FuzzOracle(f *testing.F) {
	f.Add([]byte("seventy bytes or so that make up a dozen packets of a small world, and change"))
	f.Fuzz(func(t *testing.T, data []byte) { play(t, &script{data}) })
}

// FuzzFilter feeds arbitrary bytes both ways: nothing panics, and a verdict
// is a drop exactly if it has a reason.
func FuzzFilter(f *testing.F) {
	for _, family := range families {
		e := family.ends
		for _, ev := range []event{
			e.udpIn(), e.tcpOut(syn), e.pingIn(1), e.plainIn(ipproto.TSMP), e.sctpIn(),
			errorIn(e.peer.Addr().String(), e.host.Addr(), e.udpOut()),
			cut(e.udpIn().b, 1, 0, 16), cut(e.udpIn().b, 1, 16, 99),
		} {
			f.Add(ev.b, uint8(0))
		}
	}
	all := newFilter(f, filter.Config{
		Matches: []filter.Match{rule(filter.AllPorts)}, LogIPs: anywhere,
		Logf:   func(format string, args ...any) { _ = fmt.Sprintf(format, args...) },
		Permit: filter.Permit{Multicast: true, LinkLocal: true, Mapped: true, Martian: true}, Local: anywhere,
	})
	shut := filter.NewAllowNone(nil)
	f.Fuzz(func(t *testing.T, b []byte, flags uint8) {
		var p packet.Parsed
		p.Decode(b)
		for _, f := range []*filter.Filter{all, shut} {
			for _, v := range []filter.Verdict{
				f.In(&p, 0, filter.RunFlags(flags)), f.Out(&p, 0, filter.RunFlags(flags)),
			} {
				if v.Response.IsDrop() != (v.Reason != none) {
					t.Errorf("%v: %+v", &p, v)
				}
			}
			f.Record(&p, 0)
			f.In(&p, 1, filter.RunFlags(flags))
			f.Check(p.Src.Addr(), p.Dst.Addr(), p.Dst.Port(), p.IPProto)
			_ = f.Explain(p.Src, p.Dst, p.IPProto).String()
		}
	})
}
