package e2e_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/netlogtype"
)

// awaitHost writes pkt until c receives it. The kernel uses a new IPv6 address only
// after a while.
func awaitHost(t *testing.T, r *rig.Rig, c *net.UDPConn, pkt []byte) {
	t.Helper()
	for range 50 {
		if _, err := r.W.Write(rig.Wire(pkt), offset); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, len(pkt))); err == nil {
			r.W.ExtractStatistics()
			return
		}
	}
	t.Fatal("the host takes no packets")
}

// TestKernelReassemblesReorderedFragments: the kernel reassembles a datagram whose
// fragments arrived out of order. Fragments that it sends are counted under their
// flow.
func TestKernelReassemblesReorderedFragments(t *testing.T) {
	host, dev := rig.NewHost(t, rig.TUNOfNew(t))
	r := rig.On(t, dev, 128)
	r.Allow(rig.To(rig.Port(80), ipproto.UDP))
	r.W.SetStatisticsEnabled(true)
	host.Configure(t, host4, host6)
	data := make([]byte, 8000)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	rig.Families(t, func(t *testing.T, local, peer netip.Addr) {
		c := host.ListenUDP(t, netip.AddrPortFrom(local, 80))
		awaitHost(t, r, c, craft.UDP(peer, 5, local, 80, "are you there"))
		for round := range uint16(20) {
			frags := craft.Fragments(craft.UDP(peer, 5, local, 80, string(data[round:])), 1232, round)
			rand.Shuffle(len(frags), func(i, j int) { frags[i], frags[j] = frags[j], frags[i] })
			for _, f := range frags {
				if n, err := r.W.Write(rig.Wire(f), offset); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
			got := make([]byte, 9000)
			if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := c.Read(got)
			if err != nil || !bytes.Equal(got[:n], data[round:]) {
				t.Fatalf("round %d: %d bytes, %v; want %d; %+v", round, n, err, len(data)-int(round), r.W.Counters().In)
			}
		}
		if in := r.W.Counters().In; in.Held != 0 || in.Dropped() != 0 {
			t.Errorf("in the end %+v", in)
		}
		conn := rig.Connection(ipproto.UDP, local, 80, peer, 5)
		if n := r.W.ExtractStatistics()[conn]; n.RxPackets != 20*7 {
			t.Errorf("%v: %+v, want all fragments", conn, n)
		}
		if _, err := c.WriteTo(data, net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer, 5))); err != nil {
			t.Fatal(err)
		}
		var sent [][]byte
		for len(sent) < 7 {
			for _, b := range r.Read(1) {
				if b[6] == 44 || b[9] == 17 {
					sent = append(sent, b)
				}
			}
		}
		want := netlogtype.Counts{TxPackets: 7, TxBytes: craft.Total(sent)}
		if n := r.W.ExtractStatistics()[conn]; n != want {
			t.Errorf("%s: sent %+v, want %+v", fmt.Sprint(conn), n, want)
		}
	})
}
