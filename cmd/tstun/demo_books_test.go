package main

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

	"tstun/netlogtype"
)

// badLink is between a node's Wrapper and its WireGuard.
type badLink struct {
	tun.Device
	stopped sync.RWMutex // held while nothing is to be written
	loses   atomic.Int64 // of what is read, the next so many packets
	read    atomic.Int64 // packets
}

// stop lets nothing be written until release is called.
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
		if l.loses.Load() > 0 {
			l.loses.Add(-1)
			sizes[i] = 0
		}
	}
	return n, err
}

// newLinkedDemo starts both nodes, with handshake, on links that tests can make
// bad.
func newLinkedDemo(t *testing.T) (d *demo, client, server *badLink) {
	t.Helper()
	d = &demo{options: demoOptions{size: 1000}}
	d.client, d.server = newNodes()
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

// say sends n datagrams from one node to the other.
func say(t *testing.T, from, to *node, n int) {
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

// awaitRead waits until the link has read n packets.
func (l *badLink) awaitRead(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := eventually(ctx, func() (bool, error) { return l.read.Load() >= n, nil }); err != nil {
		return fmt.Errorf("%d packets were read, not %d: %w", l.read.Load(), n, err)
	}
	return nil
}

func (l *badLink) untilRead(t *testing.T, n int64) {
	t.Helper()
	if err := l.awaitRead(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// wantBooks wants books of one moment, in which so many packets are lost.
func wantBooks(t *testing.T, d *demo, p accountPair, lostByClient, lostByServer uint64) {
	t.Helper()
	if c, s := lost(p.client, p.server), lost(p.server, p.client); c != lostByClient || s != lostByServer {
		t.Errorf("lost %d of the client's and %d of the server's, want %d and %d", c, s, lostByClient, lostByServer)
	}
	d.note(p)
	text, err := json.Marshal(d.result)
	if err != nil {
		t.Fatal(err)
	}
	var doc demoDocument
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	checkSums(t, doc)
}

// A node that is so slow that it has taken nothing yet when the books are to be
// closed is waited for.
func TestBooksWaitForASlowNode(t *testing.T) {
	d, client, server := newLinkedDemo(t)
	release := server.stop()
	defer release()
	before := client.read.Load()
	say(t, d.client, d.server, 3)
	client.untilRead(t, before+3)
	var releasing sync.WaitGroup
	defer releasing.Wait()
	releasing.Go(func() {
		defer release()
		// The ping behind them says that the books are found incomplete.
		if err := client.awaitRead(t.Context(), before+4); err != nil {
			t.Error(err)
		}
	})
	p, err := d.settle(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	wantBooks(t, d, p, 0, 0)
}

// What is really lost is not waited for longer than a round trip takes.
func TestBooksWithLosses(t *testing.T) {
	d, client, server := newLinkedDemo(t)
	for _, side := range []struct {
		from, to *node
		link     *badLink
		lost     int64
	}{{d.client, d.server, client, 2}, {d.server, d.client, server, 1}} {
		before := side.link.read.Load()
		side.link.loses.Store(side.lost)
		say(t, side.from, side.to, 5)
		side.link.untilRead(t, before+5)
	}
	ctx, cancel := context.WithTimeout(t.Context(), settleTime)
	defer cancel()
	p := accountPair{newBooks(d.client), newBooks(d.server)}
	if err := eventually(ctx, func() (bool, error) { return d.settled(ctx, p) }); err != nil {
		t.Fatal(err)
	}
	wantBooks(t, d, p, 2, 1)
}

// The books are of one moment also when what is on its way never arrives.
func TestBooksOfANodeThatHangs(t *testing.T) {
	d, client, server := newLinkedDemo(t)
	defer server.stop()()
	before := client.read.Load()
	say(t, d.client, d.server, 3)
	client.untilRead(t, before+3)
	p, err := d.settle(t.Context(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	wantBooks(t, d, p, lost(p.client, p.server), 0)
	if n := lost(p.client, p.server); n < 3 {
		t.Errorf("%d packets are missing, want at least 3", n)
	}
}

// Books that were read while packets came are not those of one moment.
func TestBooksAreOfOneMoment(t *testing.T) {
	d, client, _ := newLinkedDemo(t)
	b := newBooks(d.client)
	b.read()
	if !b.balanced() || !b.current() {
		t.Errorf("nothing came, but balanced %v, current %v", b.balanced(), b.current())
	}
	before := client.read.Load()
	say(t, d.client, d.server, 1)
	client.untilRead(t, before+1)
	if b.current() {
		t.Error("a packet was sent, and the books are said to be current")
	}
	b.counters = d.client.wrapper.Counters()
	if b.balanced() {
		t.Error("the counters are newer than the connections, and the books are said to be balanced")
	}
}

// interrupted is an accountant before whom something happens when he is asked.
type interrupted struct {
	accountant
	before func()
}

func (i interrupted) ExtractStatistics() map[netlogtype.Connection]netlogtype.Counts {
	i.before()
	return i.accountant.ExtractStatistics()
}

// A packet that arrives after the one node's books were read and before the
// other's is in the latter alone: these are not books of one moment.
func TestBooksReadWhileAPacketComes(t *testing.T) {
	d, client, _ := newLinkedDemo(t)
	p := accountPair{newBooks(d.client), newBooks(d.server)}
	taken := func() uint64 { in := d.server.wrapper.Counters().In; return in.Packets + in.Dropped() }
	p.server.of = interrupted{d.server.wrapper, func() {
		sent, came := client.read.Load(), taken()
		say(t, d.client, d.server, 1)
		client.untilRead(t, sent+1)
		ctx, cancel := context.WithTimeout(t.Context(), settleTime)
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
	p.server.of = d.server.wrapper
	ctx, cancel := context.WithTimeout(t.Context(), settleTime)
	defer cancel()
	if err := eventually(ctx, func() (bool, error) { return p.read() && p.complete(), nil }); err != nil {
		t.Error(err)
	}
}
