package demo

import (
	"cmp"
	"context"
	"slices"

	"tstun/filter"
)

// totals records what both nodes have counted, once no packet is in flight.
func (d *demo) totals(ctx context.Context) ([]string, any, error) {
	t, err := d.quiesce(ctx, quiesceTimeout)
	d.record(t)
	return nil, nil, err
}

// diagnostics prints, after a step has failed, what the nodes have dropped so
// far. It records what they have counted unless that is recorded already.
func (d *demo) diagnostics() {
	if len(d.result.Totals) == 0 {
		t := d.newTraffic()
		t.read()
		d.record(t)
	}
	if len(d.result.Drops) > 0 {
		d.p.Printf("   dropped so far\n")
		d.p.Draw(dropTable(d.result.Drops))
	}
}

// record puts the traffic of both nodes into the result.
func (d *demo) record(t trafficPair) {
	d.recordNode(t.client, t.server)
	d.recordNode(t.server, t.client)
}

// recordNode puts the traffic of one node into the result: its connections by
// falling number of bytes, its drops, and its sums.
func (d *demo) recordNode(t, peer *traffic) {
	name, c := t.node.name, t.counters
	first := len(d.result.Connections)
	for conn, counts := range t.connections {
		d.result.Connections = append(d.result.Connections, ConnectionInfo{name, conn, counts})
	}
	slices.SortFunc(d.result.Connections[first:], func(a, b ConnectionInfo) int {
		return cmp.Or(
			-cmp.Compare(a.TxBytes+a.RxBytes, b.TxBytes+b.RxBytes),
			cmp.Compare(a.Proto, b.Proto), a.Src.Compare(b.Src), a.Dst.Compare(b.Dst))
	})
	d.recordDrops(t.node, "in", c.In.Drops)
	d.recordDrops(t.node, "out", c.Out.Drops)
	d.result.Totals = append(d.result.Totals, TotalInfo{
		Node: name, Peer: peer.node.name, Counts: t.sum,
		DroppedIn: c.In.Dropped(), DroppedOut: c.Out.Dropped(), Lost: lost(t, peer),
	})
}

// recordDrops puts the drops of one direction into the result, in the order of
// filter.Reasons.
func (d *demo) recordDrops(n *node, direction string, drops map[filter.Reason]uint64) {
	for _, r := range filter.Reasons() {
		if drops[r] > 0 {
			d.result.Drops = append(d.result.Drops, DropInfo{n.name, direction, r, drops[r], r.Explain()})
		}
	}
}
