package netstack_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/internal/rig/race"
	"tstun/netstack"
)

// star is a server's stack with little memory, and two clients' stacks behind
// two peers.
type star struct {
	server  *node
	clients [2]*node
}

const starMemory = 32 << 20

func newStar(t *testing.T) *star {
	t.Helper()
	x := &star{server: newNode(t, 0)}
	addrs := [2]netip.Addr{netip.MustParseAddr("100.64.9.1"), netip.MustParseAddr("100.64.9.2")}
	for i, a := range addrs {
		x.clients[i] = &node{w: tstun.Wrap(nil, tstun.NewFake()), v4: a, v6: netip.MustParseAddr(fmt.Sprintf("fd7a:115c::9:%d", i))}
		x.clients[i].w.SetFilter(filter.NewAllowAll(nil))
	}
	if err := x.server.w.SetPeers([]tstun.Peer{
		{ID: 1, Prefixes: []netip.Prefix{netip.PrefixFrom(addrs[0], 32)}},
		{ID: 2, Prefixes: []netip.Prefix{netip.PrefixFrom(addrs[1], 32)}},
	}); err != nil {
		t.Fatal(err)
	}
	s, err := netstack.New(x.server.w, netstack.Config{Addrs: x.server.addrs(), Memory: starMemory})
	if err != nil {
		t.Fatal(err)
	}
	x.server.s = s
	t.Cleanup(func() { s.Close(); x.server.w.Close() })
	for _, c := range x.clients {
		go cable(c.w, x.server.w, nil)
		c.start(t)
	}
	go route(x.server.w, map[netip.Addr]*tstun.Wrapper{addrs[0]: x.clients[0].w, addrs[1]: x.clients[1].w})
	return x
}

// route moves packets to the Wrapper that their IPv4 destination names.
func route(from *tstun.Wrapper, to map[netip.Addr]*tstun.Wrapper) {
	cableTo(from, func(pkt []byte) *tstun.Wrapper {
		dst, _ := netip.AddrFromSlice(pkt[16:20])
		return to[dst]
	})
}

// cableTo moves packets to the Wrapper that to names, if any, until from is
// closed.
func cableTo(from *tstun.Wrapper, to func(pkt []byte) *tstun.Wrapper) {
	const offset = tstun.PacketStartOffset
	bufs, sizes := make([][]byte, 128), make([]int, 128)
	for i := range bufs {
		bufs[i] = make([]byte, 2048)
	}
	for {
		n, err := from.Read(bufs, sizes, offset)
		if err != nil {
			return
		}
		for i := range n {
			if w := to(bufs[i][offset:]); w != nil && sizes[i] > 0 {
				w.Write([][]byte{bufs[i][:offset+sizes[i]]}, offset)
			}
		}
	}
}

// canTransfer checks that the client gets data through to the server and then as much
// back, far more than a connection may always hold. Not both at once: two stacks of
// gVisor's whose buffers are full both ways can wait for each other (docs/netstack.md).
func (x *star) canTransfer(t *testing.T, client, port int) {
	t.Helper()
	l := mustListen(t, x.server.s, "tcp", fmt.Sprintf(":%d", port))
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		n, _ := io.Copy(io.Discard, c)
		io.Copy(c, io.LimitReader(pattern(2), n))
		c.Close()
	}()
	c := mustDial(t, x.clients[client].s, "tcp", x.server.on(x.server.v4, port))
	echoes(t, c, 1<<20)
}

// echoes sends n bytes over c and reads them back, whatever time that takes as long
// as it goes on.
func echoes(t *testing.T, c net.Conn, n int64) {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience)) // what came before may have taken long
	go func() {
		io.Copy(goingOn{c}, io.LimitReader(pattern(1), n))
		c.(*netstack.TCPConn).CloseWrite()
	}()
	if got, err := io.Copy(io.Discard, goingOn{c}); got != n || err != nil {
		t.Errorf("%d of %d bytes came back: %v", got, n, err)
	}
}

// goingOn is a connection whose deadline is moved on by what comes and goes.
type goingOn struct{ c net.Conn }

func (g goingOn) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		g.c.SetDeadline(time.Now().Add(patience))
		var m int
		m, err = g.c.Write(b[n:min(n+4<<10, len(b))])
		n += m
	}
	return n, err
}

func (g goingOn) Read(b []byte) (int, error) {
	n, err := g.c.Read(b)
	if n > 0 {
		g.c.SetDeadline(time.Now().Add(patience))
	}
	return n, err
}

// A peer that opens connections, sends into them and is never read takes its
// share and no more: it is refused from then on, its own old connection and
// another peer's new ones work, and the memory of the program stays bounded.
func TestPeerThatIsNeverRead(t *testing.T) {
	x := newStar(t)
	echo := mustListen(t, x.server.s, "tcp", ":7")
	go func() {
		if c, err := echo.Accept(); err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	old := mustDial(t, x.clients[0].s, "tcp", x.server.on(x.server.v4, 7))
	newSink(t, x.server, 80)
	refused := x.fill(t, 0, func(c net.Conn) {
		c.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
		c.Write(make([]byte, 1<<20))
	})
	if !errors.Is(refused, syscall.ECONNREFUSED) {
		t.Errorf("beyond its share the peer got: %v", refused)
	}
	if n := x.server.s.Counters().Drops[netstack.ReasonMemory]; n == 0 {
		t.Error("nothing was counted")
	}
	if used := x.server.s.MemoryUsed(); used > starMemory {
		t.Errorf("%d bytes are held of %d", used, starMemory)
	}
	echoes(t, old, 8<<10)
	x.canTransfer(t, 1, 81)
}

// fill opens connections from the client to port 80 and uses each, until one
// is refused, and returns that error.
func (x *star) fill(t *testing.T, client int, use func(net.Conn)) error {
	t.Helper()
	for range 3 * starMemory / (16 << 10) {
		c, err := x.clients[client].s.DialContext(ctx(t), "tcp", x.server.on(x.server.v4, 80))
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
		use(c)
	}
	return nil
}

// A peer that opens connections, asks for data and never reads it takes its
// share and no more.
func TestPeerThatNeverReads(t *testing.T) {
	x := newStar(t)
	accepted := newSink(t, x.server, 80)
	refused := x.fill(t, 0, func(net.Conn) {
		accepted.wait(t, 1)
		c := accepted.conns[len(accepted.conns)-1]
		c.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
		c.Write(make([]byte, 1<<20))
	})
	if !errors.Is(refused, syscall.ECONNREFUSED) {
		t.Errorf("beyond its share the peer got: %v", refused)
	}
	if used := x.server.s.MemoryUsed(); used > starMemory {
		t.Errorf("%d bytes are held of %d", used, starMemory)
	}
	x.canTransfer(t, 1, 81)
}

// A peer that floods a UDP socket that nobody reads leaves room in it for
// another peer, and in the memory as well.
func TestPeerThatFloodsUDP(t *testing.T) {
	x := newStar(t)
	pc, err := x.server.s.ListenPacket("udp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	flood := mustDial(t, x.clients[0].s, "udp", x.server.on(x.server.v4, 7))
	lost := func() uint64 { return x.server.s.Counters().Drops[netstack.ReasonSocketBuffer] }
	for end := time.Now().Add(patience); lost() < 1000; {
		if _, err := flood.Write(make([]byte, 100)); err != nil || time.Now().After(end) {
			t.Fatalf("%d datagrams are counted as lost: %v", lost(), err)
		}
	}
	c := mustDial(t, x.clients[1].s, "udp", x.server.on(x.server.v4, 7))
	for range 3 {
		if _, err := c.Write([]byte("other")); err != nil {
			t.Fatal(err)
		}
	}
	other := x.clients[1].v4.String()
	got := map[string]int{}
	for got[other] < 3 {
		pc.SetReadDeadline(time.Now().Add(patience))
		_, from, err := pc.ReadFrom(make([]byte, 200))
		if err != nil {
			t.Fatalf("%v: %v", got, err)
		}
		got[from.(*net.UDPAddr).IP.String()]++
	}
}

// Empty datagrams take memory too: gVisor does not count them.
func TestEmptyDatagramsAreBounded(t *testing.T) {
	x := newStar(t)
	pc, err := x.server.s.ListenPacket("udp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	c := mustDial(t, x.clients[0].s, "udp", x.server.on(x.server.v4, 7))
	for range 5000 {
		if _, err := c.Write(nil); err != nil {
			t.Fatal(err)
		}
	}
	if used := x.server.s.MemoryUsed(); used > 1<<20 {
		t.Errorf("empty datagrams hold %d bytes", used)
	}
}

// A program that closes first keeps a connection in TIME-WAIT for a minute. A
// peer that opens more of them than its share holds is not refused for that.
func TestTimeWaitGivesWay(t *testing.T) {
	a, b := newNode(t, 0), newNode(t, 1)
	connect(t, a, b, nil)
	a.start(t)
	memory, n := int64(16<<20), 2000 // for 768 connections
	if race.Enabled {
		memory, n = memory/4, n/4
	}
	s, err := netstack.New(b.w, netstack.Config{Addrs: b.addrs(), Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	l := mustListen(t, s, "tcp", ":80")
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.Close()
		}
	}()
	for i := range n {
		c, err := a.s.DialContext(ctx(t), "tcp", b.on(b.v4, 80))
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("connection %d: %v", i, err)
		}
		c.Close()
	}
}
