package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/demo/demotest"
	"tstun/cmd/tstun/internal/ui"
	"tstun/netlogtype"
)

// badLink is the way of WireGuard's messages from one node to the other.
type badLink struct {
	stopped sync.RWMutex // a stop holds it, a delivery reads it
	toLose  atomic.Int64 // number of packets, of the next ones sent, to be lost
	read    atomic.Int64 // number of packets sent
	waiting chan []byte
}

// stop blocks every delivery until release is called.
func (l *badLink) stop() (release func()) {
	l.stopped.Lock()
	return sync.OnceFunc(l.stopped.Unlock)
}

// isPacket reports whether a message of WireGuard's (WireGuard paper §5.4.6)
// carries a packet: it is one of data, and longer than a header and a tag.
func isPacket(message []byte) bool { return len(message) > 32 && message[0] == 4 }

// send puts a message on its way.
func (l *badLink) send(message []byte) {
	if isPacket(message) {
		l.read.Add(1)
		if l.toLose.Load() > 0 {
			l.toLose.Add(-1)
			return
		}
	}
	l.waiting <- bytes.Clone(message)
}

// deliver delivers messages until there are no more.
func (l *badLink) deliver(write func([]byte) (int, error)) {
	for m := range l.waiting {
		l.stopped.RLock()
		_, _ = write(m) // fails when the test ends
		l.stopped.RUnlock()
	}
}

// relay carries WireGuard's messages between a client and a server. The client
// finds it at an address, and the server answers to it.
type relay struct {
	near, far *net.UDPConn
	client    atomic.Pointer[netip.AddrPort]
	fromHere  *badLink // from the client
	fromThere *badLink
	running   sync.WaitGroup
}

func newRelay(t *testing.T, server netip.AddrPort) *relay {
	t.Helper()
	loopback := net.UDPAddrFromAddrPort(netip.AddrPortFrom(server.Addr(), 0))
	near, err := net.ListenUDP("udp4", loopback)
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.DialUDP("udp4", loopback, net.UDPAddrFromAddrPort(server))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{near: near, far: far, fromHere: &badLink{waiting: make(chan []byte, 1<<10)}, fromThere: &badLink{waiting: make(chan []byte, 1<<10)}}
	r.running.Go(func() { r.fromHere.deliver(far.Write) })
	r.running.Go(func() {
		r.fromThere.deliver(func(m []byte) (int, error) { return near.WriteToUDPAddrPort(m, *r.client.Load()) })
	})
	r.running.Go(func() {
		carry(r.fromHere, func(buf []byte) (int, error) {
			n, from, err := near.ReadFromUDPAddrPort(buf)
			r.client.Store(&from)
			return n, err
		})
	})
	r.running.Go(func() { carry(r.fromThere, far.Read) })
	return r
}

// carry reads messages into a link until the socket is closed.
func carry(l *badLink, read func([]byte) (int, error)) {
	defer close(l.waiting)
	buf := make([]byte, 1<<16)
	for {
		n, err := read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			l.send(buf[:n])
		}
	}
}

func (r *relay) close() error {
	err := errors.Join(r.near.Close(), r.far.Close())
	r.running.Wait()
	return err
}

// newLinkedDemo returns a demo that has done its first two steps, with a badLink
// from each node to the other.
func newLinkedDemo(t *testing.T) (d *demo, client, server *badLink) {
	t.Helper()
	d = newDemo(ui.Silent(), Options{Size: 1000})
	var between *relay
	t.Cleanup(func() {
		err := d.stop()
		if between != nil {
			err = errors.Join(err, between.close())
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err := d.newUserspaceHosts(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := d.server.start(ctx, d.client, netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	between = newRelay(t, d.server.endpoint())
	if err := d.client.start(ctx, d.server, between.near.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
		t.Fatal(err)
	}
	for _, s := range d.steps()[:2] {
		if err := d.show(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	return d, between.fromHere, between.fromThere
}

// sendDatagrams sends n datagrams from one node to the other.
func sendDatagrams(t *testing.T, from, to *node, n int) {
	t.Helper()
	c, err := from.net.ListenPacket("udp", from.addrPort(0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range n {
		if _, err := c.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(to.addrPort(portEcho))); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitRead waits until the link has read n packets since the demo began.
func (l *badLink) awaitRead(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, quiesceTimeout)
	defer cancel()
	if err := eventually(ctx, func() (bool, error) { return l.read.Load() >= n, nil }); err != nil {
		return fmt.Errorf("%d packets were read, not %d: %w", l.read.Load(), n, err)
	}
	return nil
}

// mustRead fails the test if awaitRead fails.
func (l *badLink) mustRead(t *testing.T, n int64) {
	t.Helper()
	if err := l.awaitRead(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// checkTraffic checks that traffic is of one moment and lacks so many packets.
func checkTraffic(t *testing.T, d *demo, p trafficPair, lostByClient, lostByServer uint64) {
	t.Helper()
	if c, s := lost(p.client, p.server), lost(p.server, p.client); c != lostByClient || s != lostByServer {
		t.Errorf("lost %d of the client's and %d of the server's, want %d and %d", c, s, lostByClient, lostByServer)
	}
	d.record(p)
	text, err := json.Marshal(d.result)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := demotest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.CheckTotals(); err != nil {
		t.Error(err)
	}
}

// The demo waits for a node that is too slow to have received all packets.
func TestBooksWaitForASlowNode(t *testing.T) {
	d, client, _ := newLinkedDemo(t)
	release := client.stop()
	defer release()
	before := client.read.Load()
	sendDatagrams(t, d.client, d.server, 3)
	client.mustRead(t, before+3)
	var releasing sync.WaitGroup
	defer releasing.Wait()
	releasing.Go(func() {
		defer release()
		// The fourth packet is quiet's ping: quiet has found the traffic incomplete.
		if err := client.awaitRead(t.Context(), before+4); err != nil {
			t.Error(err)
		}
	})
	p, err := d.quiesce(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	checkTraffic(t, d, p, 0, 0)
}

// The demo waits no longer than a round trip for packets that are lost.
func TestBooksWithLosses(t *testing.T) {
	d, client, server := newLinkedDemo(t)
	for _, side := range []struct {
		from, to *node
		link     *badLink
		lost     int64
	}{{d.client, d.server, client, 2}, {d.server, d.client, server, 1}} {
		before := side.link.read.Load()
		side.link.toLose.Store(side.lost)
		sendDatagrams(t, side.from, side.to, 5)
		side.link.mustRead(t, before+5)
	}
	ctx, cancel := context.WithTimeout(t.Context(), quiesceTimeout)
	defer cancel()
	p := d.newTraffic()
	if err := eventually(ctx, func() (bool, error) { return d.quiet(ctx, p) }); err != nil {
		t.Fatal(err)
	}
	checkTraffic(t, d, p, 2, 1)
}

// The traffic is of one moment, too, if packets in flight never arrive.
func TestBooksOfANodeThatHangs(t *testing.T) {
	d, client, _ := newLinkedDemo(t)
	defer client.stop()()
	before := client.read.Load()
	sendDatagrams(t, d.client, d.server, 3)
	client.mustRead(t, before+3)
	p, err := d.quiesce(t.Context(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	checkTraffic(t, d, p, lost(p.client, p.server), 0)
	if n := lost(p.client, p.server); n < 3 {
		t.Errorf("%d packets are missing, want at least 3", n)
	}
}

// Traffic that was read while packets came is not of one moment.
func TestBooksAreOfOneMoment(t *testing.T) {
	d, client, _ := newLinkedDemo(t)
	c := newTraffic(d.client)
	c.read()
	if !c.consistent() || !c.current() {
		t.Errorf("nothing came, but consistent %v, current %v", c.consistent(), c.current())
	}
	before := client.read.Load()
	sendDatagrams(t, d.client, d.server, 1)
	client.mustRead(t, before+1)
	if c.current() {
		t.Error("a packet was sent, and the traffic is said to be current")
	}
	c.counters = d.client.wrapper.Counters()
	if c.consistent() {
		t.Error("the counters are newer than the connections, and the traffic is said to be consistent")
	}
}

// interrupted is a counter that calls before in front of each extraction.
type interrupted struct {
	counter
	before func()
}

func (i interrupted) ExtractStatistics() map[netlogtype.Connection]netlogtype.Counts {
	i.before()
	return i.counter.ExtractStatistics()
}

// A packet that arrives after one node was read and before the other is in the
// counts of the latter alone: that is not traffic of one moment.
func TestBooksReadWhileAPacketComes(t *testing.T) {
	d, client, _ := newLinkedDemo(t)
	p := d.newTraffic()
	taken := func() uint64 { in := d.server.wrapper.Counters().In; return in.Packets + in.Dropped() }
	p.server.counter = interrupted{d.server.wrapper, func() {
		sent, came := client.read.Load(), taken()
		sendDatagrams(t, d.client, d.server, 1)
		client.mustRead(t, sent+1)
		ctx, cancel := context.WithTimeout(t.Context(), quiesceTimeout)
		defer cancel()
		if err := eventually(ctx, func() (bool, error) { return taken() > came, nil }); err != nil {
			t.Fatal(err)
		}
	}}
	for range 20 {
		if p.read() {
			t.Fatalf("the client sent %+v, the server counted %+v, at one moment", p.client.sum, p.server.sum)
		}
	}
	p.server.counter = d.server.wrapper
	ctx, cancel := context.WithTimeout(t.Context(), quiesceTimeout)
	defer cancel()
	if err := eventually(ctx, func() (bool, error) { return p.read() && p.complete(), nil }); err != nil {
		t.Error(err)
	}
}
