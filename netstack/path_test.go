package netstack_test

import (
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/internal/rig/testdev"
	"tstun/netstack"
	"tstun/packet"
)

// LESSONS.md 5: a packet that the stack takes never reaches the device, and is
// counted once, as delivered.
func TestHandledPacketsNeverReachTheDevice(t *testing.T) {
	dev := testdev.New(1)
	a, b := newNode(t, 0), newNode(t, 1)
	b.w.Close()
	b.w = tstun.Wrap(nil, dev)
	b.w.SetFilter(filter.NewAllowAll(nil))
	connect(t, a, b, nil)
	a.start(t)
	b.start(t)
	for _, to := range b.addrs() {
		if _, err := a.s.Ping(ctx(t), to); err != nil {
			t.Fatal(err)
		}
	}
	transfer(t, a, b, "tcp", b.on(b.v6, 80), 1<<20)
	if got := dev.Written(); len(got) > 0 {
		t.Errorf("the device got %d packets, the first is %x", len(got), got[0])
	}
	in := b.w.Counters().In
	if in.Packets < 800 || in.Dropped() > 0 {
		t.Errorf("counted %d packets in, dropped %v", in.Packets, in.Drops)
	}
}

// Packets to other addresses are not the stack's affair.
func TestOtherPacketsReachTheDevice(t *testing.T) {
	dev := testdev.New(1)
	n := newNode(t, 0)
	n.w.Close()
	n.w = tstun.Wrap(nil, dev)
	n.w.SetFilter(filter.NewAllowAll(nil))
	n.start(t)
	want := udpPacket("100.64.7.2:5", "100.64.7.9:6", "for the host")
	receive(t, n.w, want)
	if got := dev.Written(); len(got) != 1 || !slices.Equal(got[0], want) {
		t.Errorf("the device got %x, want %x", got, want)
	}
}

func udpPacket(from, to, payload string) []byte {
	src, dst := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	return craft.UDP(src.Addr(), src.Port(), dst.Addr(), dst.Port(), payload)
}

// receive makes w believe that the packet came from a peer.
func receive(t *testing.T, w *tstun.Wrapper, pkt []byte) {
	t.Helper()
	if _, err := w.Write(rig.Wire(pkt), rig.Offset); err != nil {
		t.Fatal(err)
	}
}

// LESSONS.md 1: what the stack sends opens state, so replies come in where no
// rule lets anything in, and only they do.
func TestRepliesComeIn(t *testing.T) {
	a, b := newNode(t, 0), newNode(t, 1)
	a.w.SetFilter(filter.NewAllowNone(nil))
	connect(t, a, b, nil)
	a.start(t)
	b.start(t)
	for _, to := range b.addrs() {
		if _, err := a.s.Ping(ctx(t), to); err != nil {
			t.Errorf("ping %v: %v", to, err)
		}
		transfer(t, a, b, "tcp", b.on(to, 80), 10_000)
	}
	echoUDP(t, b, "udp", b.on(b.v4, 7))
	c := mustDial(t, a.s, "udp", b.on(b.v4, 7))
	roundTrip(t, c, 100)
	if in := a.w.Counters().In; in.Dropped() > 0 {
		t.Fatalf("replies were dropped: %v", in.Drops)
	}
	receive(t, a.w, udpPacket(b.on(b.v4, 8), c.LocalAddr().String(), "unsolicited"))
	if n := a.w.Counters().In.Drops[filter.ReasonNoRule]; n != 1 {
		t.Errorf("%d unsolicited packets were dropped, want 1", n)
	}
}

// LESSONS.md 6: TCP goes to the Wrapper in super-packets, and what WireGuard
// gets are whole packets within the MTU with right checksums, whatever the
// sizes are.
func TestSuperPacketsAreSplit(t *testing.T) {
	for _, version := range []int{4, 6} {
		a, b := newNode(t, 0), newNode(t, 1)
		var bad atomic.Int64
		connect(t, a, b, func(pkt []byte) bool {
			if len(pkt) > tstun.DefaultMTU || !checksumsHold(pkt) {
				bad.Add(1)
			}
			return true
		})
		a.start(t)
		b.start(t)
		to := b.addrs()[version/6]
		for i, size := range []int64{1, 1227, 1228, 1229, 2457, 65535, 65536, 777_777, 4 << 20} {
			transfer(t, a, b, "tcp", b.on(to, 80+i), size)
		}
		if n := bad.Load(); n > 0 {
			t.Errorf("IPv%d: %d bad packets", version, n)
		}
		if writes, packets := a.s.TCPWrites(), a.w.Counters().Out.Packets; writes*4 > packets {
			t.Errorf("IPv%d: %d writes of TCP became %d packets: no super-packets", version, writes, packets)
		}
	}
}

// checksumsHold verifies the sums of a TCP or ICMPv6 packet from scratch.
func checksumsHold(pkt []byte) bool {
	var p packet.Parsed
	p.Decode(pkt)
	if p.IPVersion == 4 && packet.Checksum(pkt[:20], 0) != 0xffff {
		return false
	}
	t := p.Transport()
	return packet.Checksum(t, packet.PseudoHeaderSum(p.Proto(), p.Src.Addr(), p.Dst.Addr(), len(t))) == 0xffff
}

// A loss here and there costs some time and no data.
func TestLossIsMadeGood(t *testing.T) {
	a, b := newNode(t, 0), newNode(t, 1)
	var n atomic.Uint64
	connect(t, a, b, func([]byte) bool { return n.Add(1)%101 != 0 })
	a.start(t)
	b.start(t)
	transfer(t, a, b, "tcp", b.on(b.v4, 80), 2<<20)
}

func TestHooksAreChained(t *testing.T) {
	a, b := newNode(t, 0), newNode(t, 1)
	var asked, answer atomic.Int64
	hook := func(*packet.Parsed, *tstun.Wrapper) filter.Response {
		asked.Add(1)
		return filter.Response(answer.Load())
	}
	b.w.PostFilterIn, b.w.PreFilterFromTunToNetstack = hook, hook
	connect(t, a, b, nil)
	a.start(t)
	b.start(t)
	answer.Store(int64(filter.Accept))
	if _, err := a.s.Ping(ctx(t), b.v4); err != nil || asked.Load() != 1 {
		t.Fatalf("ping: %v, hook asked %d times", err, asked.Load())
	}
	for i, r := range []filter.Response{filter.Drop, filter.DropSilently, filter.Handled} {
		answer.Store(int64(r))
		receive(t, b.w, packet.Generate(packet.ICMPHeader{Src: a.v4, Dst: b.v4, Type: 8}, []byte("ping")))
		answer.Store(int64(filter.Accept))
		if _, err := a.s.Ping(ctx(t), b.v4); err != nil { // the stack is past the first by now
			t.Fatal(err)
		}
		// A packet is counted after it was delivered.
		until := time.Now().Add(patience)
		for a.w.Counters().In.Packets < uint64(i)+2 && time.Now().Before(until) {
			time.Sleep(time.Millisecond)
		}
		if n := a.w.Counters().In.Packets; n != uint64(i)+2 {
			t.Errorf("%v by the earlier hook: %d replies in all, want those of the other pings only", r, n)
		}
	}
}

// hostDevice is a device whose host is another Wrapper: what that one sends is
// what Read returns.
type hostDevice struct {
	tun.Device
	host *tstun.Wrapper
}

func (d hostDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	return d.host.Read(bufs, sizes, offset)
}

func (d hostDevice) Write(bufs [][]byte, offset int) (int, error) { return d.host.Write(bufs, offset) }

func (d hostDevice) BatchSize() int { return 64 }

func (d hostDevice) Close() error { return errors.Join(d.host.Close(), d.Device.Close()) }

// The host behind the device talks to the stack, and the stack to the host.
func TestHostSide(t *testing.T) {
	host := newNode(t, 0)
	host.start(t)
	n := newNode(t, 1)
	n.w.Close()
	n.w = tstun.Wrap(nil, hostDevice{tstun.NewFake(), host.w})
	n.w.SetFilter(filter.NewAllowNone(nil)) // it is for peers
	s, err := netstack.New(n.w, netstack.Config{Addrs: n.addrs(), Host: []netip.Prefix{
		netip.PrefixFrom(host.v4, 32), netip.PrefixFrom(host.v6, 128),
	}})
	if err != nil {
		t.Fatal(err)
	}
	n.s = s
	toPeers := make(chan int)
	go func() { // WireGuard's part: without it nothing is read from the host
		bufs, sizes, packets := [][]byte{make([]byte, 2048)}, make([]int, 1), 0
		for {
			if _, err := n.w.Read(bufs, sizes, tstun.PacketStartOffset); err != nil {
				toPeers <- packets
				return
			}
			if sizes[0] > 0 {
				packets++
			}
		}
	}()
	for i, to := range n.addrs() {
		if _, err := host.s.Ping(ctx(t), to); err != nil {
			t.Errorf("host pings %v: %v", to, err)
		}
		if _, err := s.Ping(ctx(t), host.addrs()[i]); err != nil {
			t.Errorf("stack pings %v: %v", host.addrs()[i], err)
		}
		transfer(t, host, n, "tcp", n.on(to, 80), 1<<20)
		transfer(t, n, host, "tcp", host.on(host.addrs()[i], 80), 1<<20)
	}
	// A peer that speaks in the host's name is not heard.
	before := n.w.Counters().In
	n.w.SetFilter(filter.NewAllowAll(nil))
	receive(t, n.w, udpPacket(host.on(host.v4, 1), n.on(n.v4, 2), "forged"))
	if got := n.w.Counters().In; got.Drops[filter.ReasonHook] != before.Drops[filter.ReasonHook]+1 {
		t.Errorf("a forged packet got in: %v", got.Drops)
	}
	s.Close()
	n.w.Close()
	if packets := <-toPeers; packets > 0 {
		t.Errorf("%d packets between host and stack went to the peers", packets)
	}
}

// A broken checksum is the stack's to find.
func TestChecksumsAreVerified(t *testing.T) {
	n := newNode(t, 0)
	n.start(t)
	pc, err := n.s.ListenPacket("udp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	bad := udpPacket("100.64.7.2:5", "100.64.7.1:7", "broken")
	bad[len(bad)-1] ^= 1
	receive(t, n.w, bad)
	receive(t, n.w, udpPacket("100.64.7.2:5", "100.64.7.1:7", "whole"))
	pc.SetDeadline(time.Now().Add(patience))
	buf := make([]byte, 100)
	if k, _, err := pc.ReadFrom(buf); err != nil || string(buf[:k]) != "whole" {
		t.Errorf("got %q, %v", buf[:k], err)
	}
}
