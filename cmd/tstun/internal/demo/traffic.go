package demo

import (
	"context"
	"fmt"
	"time"

	"tstun"
	"tstun/ipproto"
	"tstun/netlogtype"
)

// quiesceTimeout bounds how long the demo waits for the last packets of closed
// connections. Only a machine that is too busy to carry them needs all of it.
const quiesceTimeout = 10 * time.Second

// counter is the part of a Wrapper that counts packets.
type counter interface {
	ExtractStatistics() map[netlogtype.Connection]netlogtype.Counts
	Counters() tstun.Counters
}

// traffic is what one node has counted.
type traffic struct {
	node        *node
	counter     counter
	connections map[netlogtype.Connection]netlogtype.Counts
	sum         netlogtype.Counts // over connections
	counters    tstun.Counters
}

func newTraffic(n *node) *traffic {
	return &traffic{node: n, counter: n.wrapper, connections: make(map[netlogtype.Connection]netlogtype.Counts)}
}

// read adds the statistics since the last read, and replaces the counters.
func (t *traffic) read() {
	for c, v := range t.counter.ExtractStatistics() {
		t.connections[c] = t.connections[c].Add(v)
		t.sum = t.sum.Add(v)
	}
	t.counters = t.counter.Counters()
}

// consistent reports whether the statistics add up to the counters. They do
// not if a packet passed between the two readings.
func (t *traffic) consistent() bool { return t.sum == passed(t.counters) }

// current reports whether the node has counted no packet since the last read.
func (t *traffic) current() bool {
	now := t.counter.Counters()
	return passed(now) == passed(t.counters) &&
		now.In.Dropped() == t.counters.In.Dropped() && now.Out.Dropped() == t.counters.Out.Dropped()
}

// tsmpReceived returns the number of TSMP packets that the node received.
func (t *traffic) tsmpReceived() (n uint64) {
	for c, v := range t.connections {
		if c.Proto == ipproto.TSMP {
			n += v.RxPackets
		}
	}
	return n
}

// lost returns the number of packets that one node sent and the other neither
// took, held nor dropped, or 0 if it counted more than were sent. Loopback
// loses WireGuard's datagrams, too, when a socket's buffer is full.
func lost(from, to *traffic) uint64 {
	sent := from.counters.Out.Packets
	in := to.counters.In
	return sent - min(sent, in.Packets+in.Dropped()+in.Held)
}

// passed returns the counters of packets that passed, in the form of
// statistics.
func passed(c tstun.Counters) netlogtype.Counts {
	return netlogtype.Counts{
		TxPackets: c.Out.Packets, TxBytes: c.Out.Bytes,
		RxPackets: c.In.Packets, RxBytes: c.In.Bytes,
	}
}

// trafficPair is the traffic of both nodes.
type trafficPair struct{ client, server *traffic }

func (d *demo) newTraffic() trafficPair {
	return trafficPair{newTraffic(d.client), newTraffic(d.server)}
}

// read reads both nodes and reports whether both have the values of one moment:
// neither counted a packet between the reading of the server and the second
// look at the client. Counters only grow, so a counter with the same value has
// not changed in between.
func (p trafficPair) read() bool {
	p.client.read()
	p.server.read()
	return p.client.consistent() && p.server.consistent() && p.client.current() && p.server.current()
}

// complete reports whether every packet that was sent has arrived.
func (p trafficPair) complete() bool {
	return lost(p.client, p.server) == 0 && lost(p.server, p.client) == 0
}

// sent returns the number of packets that each node has sent.
func (p trafficPair) sent() [2]uint64 {
	return [2]uint64{p.client.counters.Out.Packets, p.server.counters.Out.Packets}
}

// readFailure returns the error of a read that reports false until the
// timeout.
func (p trafficPair) readFailure() error {
	for _, t := range []*traffic{p.client, p.server} {
		if !t.consistent() {
			return fmt.Errorf("%s: the connections add up to %+v, the counters say %+v", t.node.name, t.sum, passed(t.counters))
		}
	}
	return fmt.Errorf("the traffic did not end within %v", quiesceTimeout)
}

// quiesce waits until no packet is in flight and returns the traffic of both
// nodes at that moment. If packets are still in flight after limit, it returns
// traffic in which these are lost.
func (d *demo) quiesce(ctx context.Context, limit time.Duration) (trafficPair, error) {
	p := d.newTraffic()
	soon, stop := context.WithTimeout(ctx, limit)
	defer stop()
	if eventually(soon, func() (bool, error) { return d.quiet(soon, p) }) == nil {
		return p, nil
	}
	last, cancel := context.WithTimeout(ctx, quiesceTimeout)
	defer cancel()
	if eventually(last, func() (bool, error) { return p.read(), nil }) != nil {
		return p, p.readFailure()
	}
	return p, nil
}

// quiet reads both nodes and reports whether no packet is in flight: each one
// that was sent has arrived or is lost.
//
// Packets of one peer stay in order. So a packet is lost if it has not arrived
// before a TSMP ping, or its pong, that was sent after it. quiet sends such a
// ping, and reports false if anything else was sent in the meantime.
func (d *demo) quiet(ctx context.Context, p trafficPair) (bool, error) {
	if !p.read() {
		return false, nil
	}
	if p.complete() {
		return true, nil
	}
	before := p.sent()
	once, cancel := context.WithTimeout(ctx, pingInterval)
	defer cancel()
	if err := d.tsmpRoundTrip(once); err != nil {
		return false, nil // the ping or the pong is lost or late itself
	}
	// The Wrapper calls the hook of a pong before it counts the pong's batch.
	pongs := d.client.pongs.Load()
	if err := eventually(ctx, func() (bool, error) {
		return p.read() && p.client.tsmpReceived() >= pongs && p.server.tsmpReceived() >= pongs, nil
	}); err != nil {
		return false, nil
	}
	return p.complete() || p.sent() == [2]uint64{before[0] + 1, before[1] + 1}, nil
}
