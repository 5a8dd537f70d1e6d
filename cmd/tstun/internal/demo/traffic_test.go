package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/cmd/tstun/internal/demo/demotest"
	"tstun/cmd/tstun/internal/ui"
	"tstun/netlogtype"
)

// badLink is a device between a node's Wrapper and its WireGuard.
type badLink struct {
	tun.Device
	stopped sync.RWMutex // a stop holds it, a write reads it
	toLose  atomic.Int64 // number of packets, of the next ones read, to be lost
	read    atomic.Int64 // number of packets read
}

// stop blocks every write until release is called.
func (l *badLink) stop() (release func()) {
	l.stopped.Lock()
	return sync.OnceFunc(l.stopped.Unlock)
}

func (l *badLink) Write(bufs [][]byte, offset int) (int, error) {
	l.stopped.RLock()
	defer l.stopped.RUnlock()
	return l.Device.Write(bufs, offset)
}

func (l *badLink) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := l.Device.Read(bufs, sizes, offset)
	for i := range n {
		if sizes[i] == 0 {
			continue
		}
		l.read.Add(1)
		if l.toLose.Load() > 0 {
			l.toLose.Add(-1)
			sizes[i] = 0
		}
	}
	return n, err
}

// newLinkedDemo returns a demo that has done its first two steps, with a badLink
// at each node.
func newLinkedDemo(t *testing.T) (d *demo, client, server *badLink) {
	t.Helper()
	d = newDemo(ui.Silent(), Options{Size: 1000})
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	})
	if err := d.newUserspaceHosts(); err != nil {
		t.Fatal(err)
	}
	client, server = &badLink{Device: d.client.wrapper}, &badLink{Device: d.server.wrapper}
	for n, l := range map[*node]*badLink{d.client: client, d.server: server} {
		if err := n.startWireGuard(l); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, s := range d.steps()[:2] {
		if err := d.show(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	return d, client, server
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
	d, client, server := newLinkedDemo(t)
	release := server.stop()
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
	d, client, server := newLinkedDemo(t)
	defer server.stop()()
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
