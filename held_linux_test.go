package tstun_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"tstun/ipproto"
	"tstun/netlogtype"
)

// awaitHost sends pkt until c gets it: the kernel takes its time over a new IPv6
// address.
func (r *rig) awaitHost(t *testing.T, c *net.UDPConn, pkt []byte) {
	t.Helper()
	for range 50 {
		if _, err := r.w.Write([][]byte{append(make([]byte, offset), pkt...)}, offset); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, len(pkt))); err == nil {
			r.w.ExtractStatistics()
			return
		}
	}
	t.Fatal("the host takes no packets")
}

// TestKernelReassemblesReorderedFragments: what the kernel gets of a datagram
// whose fragments came in disorder is the datagram, and what it sends in
// fragments is counted under its flow.
func TestKernelReassemblesReorderedFragments(t *testing.T) {
	host, dev := newKernelHost(t, tunOfNew(t))
	r := rigOn(t, dev, 128)
	r.allow(to(port(80), ipproto.UDP))
	r.w.SetStatisticsEnabled(true)
	host.configure(t, host4, host6)
	data := make([]byte, 8000)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	families(t, func(t *testing.T, local, peer netip.Addr) {
		c := host.listenUDP(t, netip.AddrPortFrom(local, 80))
		r.awaitHost(t, c, udp(peer, 5, local, 80, "are you there"))
		for round := range uint16(20) {
			frags := inFragments(udp(peer, 5, local, 80, string(data[round:])), 1232, round)
			rand.Shuffle(len(frags), func(i, j int) { frags[i], frags[j] = frags[j], frags[i] })
			for _, f := range frags {
				if n, err := r.w.Write([][]byte{append(make([]byte, offset), f...)}, offset); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
			got := make([]byte, 9000)
			if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := c.Read(got)
			if err != nil || !bytes.Equal(got[:n], data[round:]) {
				t.Fatalf("round %d: %d bytes, %v; want %d; %+v", round, n, err, len(data)-int(round), r.w.Counters().In)
			}
		}
		if in := r.w.Counters().In; in.Held != 0 || in.Dropped() != 0 {
			t.Errorf("in the end %+v", in)
		}
		conn := connection(ipproto.UDP, local, 80, peer, 5)
		if n := r.w.ExtractStatistics()[conn]; n.RxPackets != 20*7 {
			t.Errorf("%v: %+v, want all fragments", conn, n)
		}
		if _, err := c.WriteTo(data, net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer, 5))); err != nil {
			t.Fatal(err)
		}
		var sent [][]byte
		for len(sent) < 7 {
			for _, b := range r.read(1) {
				if b[6] == 44 || b[9] == 17 {
					sent = append(sent, b)
				}
			}
		}
		want := netlogtype.Counts{TxPackets: 7, TxBytes: totalOf(sent)}
		if n := r.w.ExtractStatistics()[conn]; n != want {
			t.Errorf("%s: sent %+v, want %+v", fmt.Sprint(conn), n, want)
		}
	})
}
