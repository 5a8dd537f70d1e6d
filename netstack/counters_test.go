package netstack_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/netstack"
	"tstun/packet"
)

func TestReasonText(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range netstack.Reasons() {
		text, err := r.MarshalText()
		var back netstack.Reason
		if err != nil || back.UnmarshalText(text) != nil || back != r || seen[r.String()] {
			t.Errorf("%v: %q, %v, %v", r, text, err, back)
		}
		seen[r.String()] = true
	}
	if err := new(netstack.Reason).UnmarshalText([]byte("no such")); err == nil {
		t.Error("an unknown reason was read")
	}
	if s := netstack.Reason(200).String(); s != "reason-200" {
		t.Errorf("unknown reason is %q", s)
	}
}

// death is a way in which a packet can end in a stack.
type death struct {
	name string
	why  netstack.Reason // 0: it is delivered or answered
	pkt  func(n *node, i int) []byte
}

const peer4, peer6 = "100.64.7.2", "fd7a:115c::7:2"

// spoiled flips a bit of the byte that is so far from the end.
func spoiled(pkt []byte, fromEnd int) []byte {
	pkt[len(pkt)-fromEnd] ^= 1
	return pkt
}

func deaths() []death {
	from4, from6 := netip.MustParseAddr(peer4), netip.MustParseAddr(peer6)
	udp := func(n *node, port uint16) []byte { return craft.UDP(from4, 5, n.v4, port, "datagram") }
	tcp := func(n *node, from, port uint16, flags packet.TCPFlag) []byte {
		return craft.TCP(from4, from, n.v4, port, flags, "")
	}
	return []death{
		{"echo", 0, func(n *node, i int) []byte { return craft.Echo(from4, n.v4, uint16(i), false) }},
		{"echo over IPv6", 0, func(n *node, i int) []byte { return craft.Echo(from6, n.v6, uint16(i), false) }},
		{"to a socket", 0, func(n *node, _ int) []byte { return udp(n, openPort) }},
		{"to a full socket", netstack.ReasonSocketBuffer, func(n *node, _ int) []byte { return udp(n, fullPort) }},
		{"UDP to no socket", netstack.ReasonNoSocket, func(n *node, _ int) []byte { return udp(n, 99) }},
		{"UDP over IPv6 to no socket", netstack.ReasonNoSocket, func(n *node, _ int) []byte {
			return craft.UDP(from6, 5, n.v6, 99, "datagram")
		}},
		{"TCP to no socket", netstack.ReasonNoSocket, func(n *node, i int) []byte { return tcp(n, uint16(i), 99, packet.TCPSyn) }},
		{"a reset of nothing", netstack.ReasonNoSocket, func(n *node, i int) []byte { return tcp(n, uint16(i), 99, packet.TCPRst) }},
		{"another protocol", netstack.ReasonNoSocket, func(n *node, _ int) []byte {
			return craft.SCTP(netip.AddrPortFrom(from4, 5), netip.AddrPortFrom(n.v4, 6))
		}},
		{"to a full backlog", netstack.ReasonBacklog, func(n *node, i int) []byte {
			return tcp(n, uint16(3000+i), backlogPort, packet.TCPSyn)
		}},
		{"UDP checksum", netstack.ReasonChecksum, func(n *node, _ int) []byte { return spoiled(udp(n, openPort), 1) }},
		{"UDP checksum, no socket", netstack.ReasonChecksum, func(n *node, _ int) []byte { return spoiled(udp(n, 99), 1) }},
		{"TCP checksum", netstack.ReasonChecksum, func(n *node, i int) []byte {
			return spoiled(tcp(n, uint16(i), listenPort, packet.TCPSyn), 1)
		}},
		{"TCP checksum, no socket", netstack.ReasonChecksum, func(n *node, i int) []byte {
			return spoiled(tcp(n, uint16(i), 99, packet.TCPSyn), 1)
		}},
		{"ICMP checksum", netstack.ReasonChecksum, func(n *node, i int) []byte {
			return spoiled(craft.Echo(from4, n.v4, uint16(i), false), 1)
		}},
		{"ICMPv6 checksum", netstack.ReasonChecksum, func(n *node, i int) []byte {
			return spoiled(craft.Echo(from6, n.v6, uint16(i), false), 1)
		}},
		{"IPv4 checksum", netstack.ReasonMalformed, func(n *node, _ int) []byte {
			pkt := udp(n, openPort)
			pkt[8]-- // TTL
			return pkt
		}},
		{"from the stack's own address", netstack.ReasonOther, func(n *node, _ int) []byte {
			return craft.UDP(netip.MustParseAddr("100.64.7.77"), 5, n.v4, openPort, "forged")
		}},
		{"reset to a listener", netstack.ReasonOther, func(n *node, i int) []byte {
			return tcp(n, uint16(i), backlogPort, packet.TCPRst)
		}},
	}
}

const (
	openPort    = 7
	fullPort    = 8
	backlogPort = 80 // its listener is full
	listenPort  = 81 // its is not
)

// victim returns a node with sockets to die at, and the socket that is read.
func victim(t *testing.T) (*node, *netstack.UDPConn) {
	t.Helper()
	n := newNode(t, 0)
	s, err := netstack.New(n.w, netstack.Config{Addrs: append(n.addrs(), netip.MustParseAddr("100.64.7.77"))})
	if err != nil {
		t.Fatal(err)
	}
	n.s = s
	open := mustListenPacket(t, n, openPort)
	open.SetReadBuffer(4 << 20)
	full := mustListenPacket(t, n, fullPort)
	full.SetReadBuffer(1) // the least there is
	l, err := (&netstack.ListenConfig{Stack: s, Backlog: 1}).Listen(ctx(t), "tcp", n.on(n.v4, backlogPort))
	if err != nil {
		t.Fatal(err)
	}
	peer := newNode(t, 1)
	var cut atomic.Bool
	connect(t, n, peer, func([]byte) bool { return !cut.Load() })
	peer.start(t)
	mustListen(t, s, "tcp", n.on(n.v4, listenPort))
	for range 2 { // the backlog, and one more
		mustDial(t, peer.s, "tcp", n.on(n.v4, backlogPort))
	}
	for n.s.Counters().Connections < 2 { // until the handshake's last segment came
		time.Sleep(time.Millisecond)
	}
	cut.Store(true) // the peer's stack keeps out of the rest
	t.Cleanup(func() {
		l.Close()
		s.Close()
		n.w.Close()
	})
	fill(t, n, open)
	return n, open
}

func mustListenPacket(t *testing.T, n *node, port int) *netstack.UDPConn {
	t.Helper()
	pc, err := n.s.ListenPacket("udp", n.on(n.v4, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc.(*netstack.UDPConn)
}

// fill fills the full socket.
func fill(t *testing.T, n *node, open *netstack.UDPConn) {
	t.Helper()
	const enough = 100
	for range enough {
		receive(t, n.w, udpPacket(peer4+":5", n.on(n.v4, fullPort), "datagram"))
	}
	receive(t, n.w, udpPacket(peer4+":5", n.on(n.v4, openPort), "the last one"))
	open.SetReadDeadline(time.Now().Add(patience))
	if _, err := open.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if n.s.Counters().Drops[netstack.ReasonSocketBuffer] == 0 {
		t.Fatal("the socket is not full")
	}
}

// awaitDrops returns once the stack has dropped that much, or has taken too
// long. TCP does so on goroutines of its own.
func awaitDrops(n *node, want map[netstack.Reason]uint64) {
	for until := time.Now().Add(patience); !maps.Equal(n.s.Counters().Drops, want) && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
}

// settle returns once the stack has looked at all that it got.
func settle(t *testing.T, n *node) {
	t.Helper()
	for until := time.Now().Add(patience); !n.s.IsIdle(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(until) {
			t.Fatalf("not all is handed over: %+v", n.s.Counters())
		}
	}
}

// Each death is counted once, under its reason.
func TestDeathsAreCounted(t *testing.T) {
	n, _ := victim(t)
	for _, d := range deaths() {
		before := n.s.Counters()
		const times = 3
		for i := range times {
			receive(t, n.w, d.pkt(n, i))
		}
		want := maps.Clone(before.Drops)
		if d.why != 0 {
			want[d.why] += times
		}
		settle(t, n)
		awaitDrops(n, want)
		after := n.s.Counters()
		if !maps.Equal(after.Drops, want) || after.In.Packets-before.In.Packets != times {
			t.Errorf("%s: dropped %v, want %v", d.name, after.Drops, want)
		}
	}
	text, err := json.Marshal(n.s.Counters())
	var back netstack.Counters
	if err != nil || json.Unmarshal(text, &back) != nil || back.Drops[netstack.ReasonChecksum] == 0 {
		t.Errorf("%s, %v", text, err)
	}
}

// Of any mix, what came in is what was delivered, answered and dropped.
func TestCountersAddUp(t *testing.T) {
	ways := deaths()
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 3))
		n, open := victim(t)
		before := n.s.Counters()
		want, datagrams, bytes := maps.Clone(before.Drops), 0, before.In.Bytes
		const packets = 500
		for i := range packets {
			d := ways[r.IntN(len(ways))]
			pkt := d.pkt(n, i)
			bytes += uint64(len(pkt))
			if d.why != 0 {
				want[d.why]++
			} else if pkt[9] == byte(ipproto.UDP) && pkt[0]>>4 == 4 {
				datagrams++
			}
			receive(t, n.w, pkt)
			if i%50 == 0 { // an account may have waiting what hasRoom allows
				settle(t, n)
			}
		}
		settle(t, n)
		awaitDrops(n, want)
		c := n.s.Counters()
		if !maps.Equal(c.Drops, want) || c.In.Packets != before.In.Packets+packets || c.In.Bytes != bytes {
			t.Errorf("seed %d: counted %+v, want drops %v", seed, c, want)
		}
		got := 0
		open.SetReadDeadline(time.Now().Add(patience))
		for ; got < datagrams; got++ {
			if _, err := open.Read(make([]byte, 100)); err != nil {
				break
			}
		}
		if open.SetReadDeadline(time.Now().Add(-time.Second)); got != datagrams {
			t.Errorf("seed %d: read %d datagrams, want %d", seed, got, datagrams)
		}
	}
}
