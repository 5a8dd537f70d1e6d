package tstun_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"tstun"

	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/race"
	"tstun/internal/rig/testdev"
	"tstun/ipproto"
	"tstun/packet"
)

// TestNoAllocationPerPacket: filter and statistics on, batches of 1 and 128,
// one flow and many, TCP and UDP, both ways.
func TestNoAllocationPerPacket(t *testing.T) {
	if testing.CoverMode() != "" {
		t.Skip("coverage counts allocations of its own")
	}
	if race.Enabled {
		t.Skip("the race detector makes sync.Pool allocate")
	}
	for _, batch := range []int{1, 128} {
		for _, flows := range []int{1, 1000} {
			for name, traffic := range rig.Loads(batch, flows) {
				t.Run(fmt.Sprintf("Write/%s/batch=%d/flows=%d", name, batch, flows), func(t *testing.T) {
					l := rig.NewLoad(t, batch, traffic, true)
					wantNoAllocs(t, len(traffic)/batch, l.Write)
				})
				t.Run(fmt.Sprintf("Read/%s/batch=%d/flows=%d", name, batch, flows), func(t *testing.T) {
					l := rig.NewLoad(t, batch, traffic, true)
					wantNoAllocs(t, len(traffic)/batch, l.Read)
				})
				t.Run(fmt.Sprintf("ReadDirect/%s/batch=%d/flows=%d", name, batch, flows), func(t *testing.T) {
					l := rig.NewDirectLoad(t, batch, traffic, true)
					wantNoAllocs(t, len(traffic)/batch, l.Read)
				})
			}
		}
	}
}

// wantNoAllocs warms up with f and then wants no allocation of it.
func wantNoAllocs(t *testing.T, rounds int, f func()) {
	t.Helper()
	for range rounds + 10 {
		f()
	}
	if n := testing.AllocsPerRun(rounds+100, f); n != 0 {
		t.Errorf("%v allocations per batch, want 0", n)
	}
}

func TestRefusedPacketsDoNotAllocate(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes sync.Pool allocate")
	}
	l := rig.NewLoad(t, 128, rig.Loads(128, 1)["udp"], true)
	f, err := filter.New(filter.Config{Local: rig.Local(), Logf: t.Logf, LogIPs: []netip.Prefix{}})
	if err != nil {
		t.Fatal(err)
	}
	l.W.SetFilter(f)
	wantNoAllocs(t, 1, l.Write)
	if c := l.W.Counters(); c.In.Packets != 0 || c.In.Drops[filter.ReasonNoRule] == 0 {
		t.Errorf("counted %+v, want drops alone", c.In)
	}
}

func TestInjectionOfBytesAllocatesNothingOfItsOwn(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes sync.Pool allocate")
	}
	r := rig.On(t, testdev.New(1), 1)
	r.W.SetFilter(filter.NewAllowAll(nil))
	pkt := craft.UDP(host4, 1, peer4, 2, "x")
	wantNoAllocs(t, 1, func() {
		if err := r.W.InjectOutbound(pkt); err != nil {
			t.Fatal(err)
		}
		if n, err := r.W.Read(r.Bufs, r.Sizes, offset); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	})
}

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
		"refused echo":       craft.Echo(peer4, host4, 1, false),
		"about tsmp":         craft.ICMP(peer4, host4, 3, 4, 2, [4]byte{}, craft.TSMPPing(host4, peer4)),
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
