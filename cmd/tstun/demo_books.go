package main

import (
	"context"
	"fmt"
	"time"

	"tstun"
	"tstun/ipproto"
	"tstun/netlogtype"
)

// settleTime bounds how long the last packets of closed connections may take.
// Nothing waits for its end but a machine that is too busy to carry them.
const settleTime = 10 * time.Second

// accountant is what counts: a Wrapper.
type accountant interface {
	ExtractStatistics() map[netlogtype.Connection]netlogtype.Counts
	Counters() tstun.Counters
}

// books is what one node has counted.
type books struct {
	node        *node
	of          accountant
	connections map[netlogtype.Connection]netlogtype.Counts
	sum         netlogtype.Counts // over connections
	counters    tstun.Counters
}

func newBooks(n *node) *books {
	return &books{node: n, of: n.wrapper, connections: make(map[netlogtype.Connection]netlogtype.Counts)}
}

// read adds what the node has counted since the last call.
func (b *books) read() {
	for c, v := range b.of.ExtractStatistics() {
		b.connections[c] = b.connections[c].Add(v)
		b.sum = b.sum.Add(v)
	}
	b.counters = b.of.Counters()
}

// balanced reports whether the connections add up to the counters. They do not
// when a packet came between reading the two.
func (b *books) balanced() bool { return b.sum == passed(b.counters) }

// current reports whether the node has counted nothing since read.
func (b *books) current() bool {
	now := b.of.Counters()
	return passed(now) == passed(b.counters) &&
		now.In.Dropped() == b.counters.In.Dropped() && now.Out.Dropped() == b.counters.Out.Dropped()
}

// tsmpReceived counts TSMP packets.
func (b *books) tsmpReceived() (n uint64) {
	for c, v := range b.connections {
		if c.Proto == ipproto.TSMP {
			n += v.RxPackets
		}
	}
	return n
}

// lost returns the number of packets that from sent and to did not get.
// WireGuard's UDP packets can be lost on loopback too, when a socket's buffer is
// full.
func lost(from, to *books) uint64 {
	sent := from.counters.Out.Packets
	in := to.counters.In
	return sent - min(sent, in.Packets+in.Dropped())
}

// passed is what the counters say in the terms of statistics.
func passed(c tstun.Counters) netlogtype.Counts {
	return netlogtype.Counts{
		TxPackets: c.Out.Packets, TxBytes: c.Out.Bytes,
		RxPackets: c.In.Packets, RxBytes: c.In.Bytes,
	}
}

// accountPair is the books of both nodes.
type accountPair struct{ client, server *books }

// read reports whether the books are those of one moment: between reading the
// second node and asking the first again, neither counted anything. Counters
// only grow, so that one with the same value has not changed.
func (p accountPair) read() bool {
	p.client.read()
	p.server.read()
	return p.client.balanced() && p.server.balanced() && p.client.current() && p.server.current()
}

// complete reports whether every packet that was sent arrived.
func (p accountPair) complete() bool {
	return lost(p.client, p.server) == 0 && lost(p.server, p.client) == 0
}

// sent returns how many packets each node has sent.
func (p accountPair) sent() [2]uint64 {
	return [2]uint64{p.client.counters.Out.Packets, p.server.counters.Out.Packets}
}

// unbalanced says why read reports false, if it is not for traffic.
func (p accountPair) unbalanced() error {
	for _, b := range []*books{p.client, p.server} {
		if !b.balanced() {
			return fmt.Errorf("%s: the connections add up to %+v, the counters say %+v", b.node.name, b.sum, passed(b.counters))
		}
	}
	return fmt.Errorf("the traffic did not end within %v", settleTime)
}

// settle returns the books of both nodes at a moment when no packet was on its
// way. If that does not come within limit, packets that are still on their way
// are among those that are lost.
func (d *demo) settle(ctx context.Context, limit time.Duration) (accountPair, error) {
	p := accountPair{newBooks(d.client), newBooks(d.server)}
	soon, stop := context.WithTimeout(ctx, limit)
	defer stop()
	if eventually(soon, func() (bool, error) { return d.settled(soon, p) }) == nil {
		return p, nil
	}
	last, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if eventually(last, func() (bool, error) { return p.read(), nil }) != nil {
		return p, p.unbalanced()
	}
	return p, nil
}

// settled reports whether each packet that was sent has arrived or is lost.
//
// What does not arrive is lost if it did not come before a TSMP ping that was
// sent after it, or before the pong, since packets of one peer stay in order,
// and if nothing else was sent in the meantime.
func (d *demo) settled(ctx context.Context, p accountPair) (bool, error) {
	if !p.read() {
		return false, nil
	}
	if p.complete() {
		return true, nil
	}
	before := p.sent()
	once, cancel := context.WithTimeout(ctx, pingEvery)
	defer cancel()
	if err := d.tsmpRoundTrip(once); err != nil {
		return false, nil // the ping or the pong is lost or late itself
	}
	// A pong is heard of before the batch that it came in is counted.
	pongs := d.client.pongs.Load()
	if err := eventually(ctx, func() (bool, error) {
		return p.read() && p.client.tsmpReceived() >= pongs && p.server.tsmpReceived() >= pongs, nil
	}); err != nil {
		return false, nil
	}
	return p.complete() || p.sent() == [2]uint64{before[0] + 1, before[1] + 1}, nil
}
