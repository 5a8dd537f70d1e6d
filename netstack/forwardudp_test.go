package netstack_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"tstun"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/netstack"
	"tstun/packet"
)

// serveUDPBeyond echoes on a real socket on loopback.
func serveUDPBeyond(t *testing.T) net.Addr {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	echoDatagrams(t, pc)
	return pc.LocalAddr()
}

// Datagrams of all sizes, in fragments too, come back from where they went.
func TestForwardUDP(t *testing.T) {
	far := newDialer(serveUDPBeyond(t))
	dev := testdev.New(1)
	c := forwardAll(nil, netstack.RelayUDP(far.dial))
	peer, gw := gatewayOn(t, tstun.Wrap(nil, dev), netstack.Config{Forward: &c})
	for i, to := range beyond {
		address := netip.AddrPortFrom(to, 123).String()
		c := mustDial(t, peer.s, "udp", address)
		for _, size := range []int{0, 1, 1200, 1253, 9001, 40000} {
			roundTrip(t, c, size)
		}
		if got := <-far.asked; got != "udp "+address || len(far.asked) > 0 {
			t.Errorf("dialed %q and %d more, want %s", got, len(far.asked), address)
		}
		if n := gw.s.Counters().Sessions; n != i+1 {
			t.Errorf("%d sessions, want %d", n, i+1)
		}
	}
	if got := dev.Written(); len(got) > 0 {
		t.Errorf("%d packets reached the device", len(got))
	}
	if drops := gw.s.Counters().Drops; len(drops) > 0 {
		t.Errorf("dropped %v", drops)
	}
}

// A closed port beyond is one for the peer, however it became known.
func TestForwardUDPRefused(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc.Close()
	handlers := map[string]func(*netstack.UDPRequest){
		"found out":  netstack.RelayUDP(newDialer(pc.LocalAddr()).dial),
		"rejected":   func(r *netstack.UDPRequest) { r.Reject(syscall.ECONNREFUSED) },
		"unanswered": func(r *netstack.UDPRequest) {},
	}
	for name, handler := range handlers {
		peer, gw := gateway(t, forwardAll(nil, handler))
		for _, to := range beyond {
			c := mustDial(t, peer.s, "udp", netip.AddrPortFrom(to, 9).String())
			var err error
			for err == nil {
				if _, err = c.Write([]byte("x")); err == nil {
					c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
					if _, err = c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
						err = nil
					}
				}
			}
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v", name, err)
			}
			c.Close()
		}
		gw.s.Close()
		if n := gw.s.Counters().Sessions; n != 0 {
			t.Errorf("%s: %d sessions are left", name, n)
		}
	}
}

// An idle session ends, one in use does not, and the next datagram begins
// another.
func TestForwardUDPIdle(t *testing.T) {
	requests := make(chan *netstack.UDPRequest, 10)
	c := forwardAll(nil, func(r *netstack.UDPRequest) {
		requests <- r
		c, err := r.Accept()
		if err != nil {
			t.Error(err)
		}
		buf := make([]byte, 10)
		for {
			n, err := c.Read(buf)
			if isClosed(err) {
				return
			}
			c.Write(buf[:n])
		}
	})
	c.Idle = 400 * time.Millisecond
	peer, _ := gateway(t, c)
	conn := mustDial(t, peer.s, "udp", "192.0.2.1:9")
	for range 2 {
		roundTrip(t, conn, 5)
		r := <-requests
		if r.Source.String() != conn.LocalAddr().String() || r.Destination.String() != "192.0.2.1:9" {
			t.Errorf("from %v to %v", r.Source, r.Destination)
		}
		select {
		case <-r.Context().Done():
		case <-time.After(patience):
			t.Fatal("the session lives on")
		}
	}
}

// LESSONS.md 26: a peer with as many sessions as it may have replaces its own,
// the idle ones first, and leaves other peers' alone.
func TestForwardUDPBound(t *testing.T) {
	requests := make(chan *netstack.UDPRequest, 100)
	c := forwardAll(nil, func(r *netstack.UDPRequest) {
		requests <- r
		<-r.Context().Done()
		r.Accept()
	})
	c.Sessions = 8
	gw := alone(t, c)
	from := func(peer, i int) string {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 64, byte(peer), 1}), uint16(1000+i)).String()
	}
	send := func(peer, i int) { receive(t, gw.w, udpPacket(from(peer, i), "192.0.2.1:9", "x")) }
	next := func() *netstack.UDPRequest {
		select {
		case r := <-requests:
			return r
		case <-time.After(patience):
			t.Fatal("no request")
			return nil
		}
	}
	const most = 6
	var first []*netstack.UDPRequest
	for i := range most {
		send(1, i)
		first = append(first, next())
	}
	send(2, 0)
	other := next()
	send(1, 0) // is in use
	for i := most; i < most+3; i++ {
		send(1, i)
		next()
	}
	<-first[1].Context().Done()
	<-first[2].Context().Done()
	<-first[3].Context().Done()
	if first[0].Context().Err() != nil || other.Context().Err() != nil {
		t.Error("a session in use, or another peer's, was replaced")
	}
	count := gw.s.Counters()
	if count.Sessions != most+1 || count.Dropped() > 0 {
		t.Errorf("counted %+v", count)
	}
}

// Without room, and without a session of its own to replace, a peer's datagram
// is dropped and counted.
func TestForwardUDPFull(t *testing.T) {
	requests := make(chan *netstack.UDPRequest, 100)
	c := forwardAll(nil, func(r *netstack.UDPRequest) {
		requests <- r
		<-r.Context().Done()
	})
	c.Sessions = 1
	gw := alone(t, c)
	receive(t, gw.w, udpPacket("100.64.1.1:1", "192.0.2.1:9", "x"))
	<-requests
	receive(t, gw.w, udpPacket("100.64.2.1:1", "192.0.2.1:9", "x"))
	for gw.s.Counters().Drops[netstack.ReasonForward] != 1 {
		time.Sleep(time.Millisecond)
	}
	if n := gw.s.Counters().Sessions; n != 1 {
		t.Errorf("%d sessions", n)
	}
}

func TestForwardPing(t *testing.T) {
	dev := testdev.New(1)
	asked := make(chan netip.Addr, 10)
	c := netstack.Forward{
		Rules: []netstack.ForwardRule{{Prefixes: everywhere}},
		Ping: func(_ context.Context, to netip.Addr) bool {
			asked <- to
			return to != netip.MustParseAddr("192.0.2.81")
		},
	}
	peer, gw := gatewayOn(t, tstun.Wrap(nil, dev), netstack.Config{Forward: &c})
	for _, to := range beyond {
		if _, err := peer.s.Ping(ctx(t), to); err != nil || <-asked != to {
			t.Errorf("ping %v: %v", to, err)
		}
	}
	short, cancel := context.WithCancel(ctx(t))
	go func() { <-asked; cancel() }()
	if _, err := peer.s.Ping(short, netip.MustParseAddr("192.0.2.81")); err == nil {
		t.Error("an address that cannot be reached answers")
	}
	bad := craft.Echo(peer.v4, beyond[0], 1, false)
	bad[len(bad)-1] ^= 1
	receive(t, gw.w, bad)
	if d := gw.s.Counters().Drops; d[netstack.ReasonChecksum] != 1 || len(d) != 1 {
		t.Errorf("dropped %v", d)
	}
	if got := dev.Written(); len(got) > 0 {
		t.Errorf("%d packets reached the device", len(got))
	}
}

// A flood of pings is bounded for the peer that sends it.
func TestForwardPingBound(t *testing.T) {
	var c netstack.Forward
	c.Rules = []netstack.ForwardRule{{Prefixes: everywhere}}
	c.Ping = func(ctx context.Context, _ netip.Addr) bool { <-ctx.Done(); return false }
	gw := alone(t, c)
	const most = 192 // of 256 at once
	for i := range 250 {
		receive(t, gw.w, craft.Echo(netip.MustParseAddr("100.64.1.1"), beyond[0], uint16(i), false))
	}
	receive(t, gw.w, craft.Echo(netip.MustParseAddr("100.64.2.1"), beyond[0], 1, false))
	if n := gw.s.Counters().Drops[netstack.ReasonForward]; n != 250-most {
		t.Errorf("%d were dropped, want %d", n, 250-most)
	}
}

// An ICMP error about what was forwarded is the stack's: a path's MTU is
// learned by it. One about anything else is the device's.
func TestForwardTakesErrors(t *testing.T) {
	dev := testdev.New(1)
	far := newDialer(serveBeyond(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 1))
		c.Write(make([]byte, 100_000))
	}))
	c := netstack.Forward{Rules: []netstack.ForwardRule{{Prefixes: everywhere, TCP: netstack.RelayTCP(far.dial)}}}
	peer, gw := gatewayOn(t, tstun.Wrap(nil, dev), netstack.Config{Forward: &c})
	conn := mustDial(t, peer.s, "tcp", "192.0.2.1:80")
	local := netip.MustParseAddrPort(conn.LocalAddr().String())
	tooBig := func(quote []byte) []byte {
		return packet.Generate(packet.ICMPHeader{
			Src: peer.v4, Dst: netip.MustParseAddr("192.0.2.1"), Type: 3, Code: 4, Rest: [4]byte{2: 600 >> 8, 3: 600 & 0xff},
		}, quote)
	}
	about := netip.MustParseAddrPort("192.0.2.1:80")
	receive(t, gw.w, tooBig(craft.TCP(about.Addr(), about.Port(), local.Addr(), local.Port(), packet.TCPAck, "12345678")))
	if got := dev.Written(); len(got) > 0 {
		t.Errorf("%d packets reached the device", len(got))
	}
	hosts := craft.UDP(about.Addr(), about.Port(), local.Addr(), local.Port(), "12345678")
	before := peer.w.Counters().In.Packets
	if err := gw.w.InjectOutbound(bytes.Clone(hosts)); err != nil { // the filter knows the flow
		t.Fatal(err)
	}
	for peer.w.Counters().In.Packets < before+1 {
		time.Sleep(time.Millisecond)
	}
	receive(t, gw.w, tooBig(hosts))
	if got := dev.Written(); !slices.ContainsFunc(got, func(pkt []byte) bool { return bytes.Equal(pkt, tooBig(hosts)) }) {
		t.Errorf("%x reached the device, want the error about UDP", got)
	}
	conn.Write([]byte("x"))
	if n, err := io.Copy(io.Discard, conn); n != 100_000 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}
