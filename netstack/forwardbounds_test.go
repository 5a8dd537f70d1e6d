package netstack_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"tstun"
	"tstun/internal/rig/craft"
	"tstun/netstack"
	"tstun/packet"
)

// syn is a peer's first segment.
func syn(from, to string) []byte {
	src, dst := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	return craft.TCP(src.Addr(), src.Port(), dst.Addr(), dst.Port(), packet.TCPSyn, "")
}

// sentTo reads what w sends until want packets came, without those that are
// empty.
func sentTo(t *testing.T, w *tstun.Wrapper, want int) []packet.Parsed {
	t.Helper()
	var all []packet.Parsed
	for len(all) < want {
		bufs, sizes := [][]byte{make([]byte, 2048)}, []int{0}
		if _, err := w.Read(bufs, sizes, tstun.PacketStartOffset); err != nil {
			t.Fatal(err)
		}
		if sizes[0] > 0 {
			var p packet.Parsed
			p.Decode(bufs[0][tstun.PacketStartOffset:][:sizes[0]])
			all = append(all, p)
		}
	}
	return all
}

// alone returns a gateway that is not connected, whose peers are the two that
// have an address each.
func alone(t *testing.T, c netstack.Forward) *node {
	t.Helper()
	gw := newNode(t, 1)
	if err := gw.w.SetPeers([]tstun.Peer{
		{ID: 1, Prefixes: []netip.Prefix{netip.MustParsePrefix("100.64.1.0/24")}},
		{ID: 2, Prefixes: []netip.Prefix{netip.MustParsePrefix("100.64.2.0/24")}},
	}); err != nil {
		t.Fatal(err)
	}
	s, err := netstack.New(gw.w, netstack.Config{Addrs: gw.addrs(), Forward: &c})
	if err != nil {
		t.Fatal(err)
	}
	gw.s = s
	t.Cleanup(func() {
		s.Close()
		gw.w.Close()
	})
	return gw
}

// LESSONS.md 26: who opens more connections than may wait is refused, at once
// and counted, and leaves room for others. gVisor's forwarder is silent.
func TestForwardBoundsOpening(t *testing.T) {
	requests := make(chan *netstack.TCPRequest, 100)
	c := forwardAll(func(r *netstack.TCPRequest) {
		requests <- r
		<-r.Context().Done()
	}, nil)
	c.Opening = 8
	gw := alone(t, c)
	const flood = 20
	for i := range flood {
		receive(t, gw.w, syn(netip.AddrPortFrom(netip.MustParseAddr("100.64.1.1"), uint16(1000+i)).String(), "192.0.2.1:80"))
	}
	const most = 6 // of 8 places: three times as many as are left
	for _, p := range sentTo(t, gw.w, flood-most) {
		if p.TCPFlags&packet.TCPRst == 0 || p.Src.String() != "192.0.2.1:80" || p.Dst.Port() < 1000+most {
			t.Fatalf("sent %v", p.String())
		}
	}
	count := gw.s.Counters()
	if count.Opening != most || count.Drops[netstack.ReasonForward] != flood-most || count.Dropped() != flood-most {
		t.Errorf("counted %+v", count)
	}
	receive(t, gw.w, syn("100.64.2.1:1000", "192.0.2.1:80"))
	fromOther := 0
	for range most + 1 {
		if r := <-requests; r.Source.String() == "100.64.2.1:1000" {
			fromOther++
		}
	}
	if fromOther != 1 {
		t.Error("the other peer found no room")
	}
	// The same SYN again is no other request.
	receive(t, gw.w, syn("100.64.2.1:1000", "192.0.2.1:80"))
	receive(t, gw.w, udpPacket("100.64.2.1:1", "100.64.7.2:9", "answered behind the SYN"))
	sentTo(t, gw.w, 1)
	if n := gw.s.Counters().Opening; n != most+1 {
		t.Errorf("%d requests, want %d", n, most+1)
	}
	gw.s.Close() // ends their contexts
}

// A peer that resets what it was opening has given up.
func TestForwardPeerGivesUp(t *testing.T) {
	requests := make(chan *netstack.TCPRequest)
	accepted := make(chan error, 1)
	gw := alone(t, forwardAll(func(r *netstack.TCPRequest) {
		requests <- r
		<-r.Context().Done()
		_, err := r.Accept()
		accepted <- err
	}, nil))
	for _, flags := range []packet.TCPFlag{packet.TCPRst, packet.TCPSyn} { // or begins anew
		pkt := syn("100.64.1.1:1000", "192.0.2.1:80")
		receive(t, gw.w, pkt)
		<-requests
		again := packet.Generate(packet.TCPHeader{
			Src: netip.MustParseAddrPort("100.64.1.1:1000"), Dst: netip.MustParseAddrPort("192.0.2.1:80"), Seq: 77, Flags: flags,
		}, nil)
		receive(t, gw.w, again)
		if err := <-accepted; !errors.Is(err, context.Canceled) {
			t.Errorf("%v: Accept: %v", flags, err)
		}
		awaitOpening(t, gw, 0)
	}
}
