package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/netlogtype"
)

// settle bounds how long the last packets of closed connections may take.
const settle = 500 * time.Millisecond

// accounts closes the books of both nodes.
func (d *demo) accounts(ctx context.Context) ([]string, any, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*settle)
	defer cancel()
	last, stop := context.WithTimeout(ctx, settle)
	defer stop()
	// What does not arrive within that time was lost, which the books show.
	_ = eventually(last, func() (bool, error) { return lost(d.client, d.server) == 0 && lost(d.server, d.client) == 0, nil })
	for _, n := range []*node{d.client, d.server} {
		if err := d.account(ctx, n); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil, nil, nil
}

// lost is the number of packets that from sent and to did not get. WireGuard's
// UDP packets can be lost on loopback too, when a socket's buffer is full.
func lost(from, to *node) uint64 {
	sent := from.wrapper.Counters().Out.Packets
	in := to.wrapper.Counters().In
	return sent - min(sent, in.Packets+in.Dropped()+in.Held)
}

// account takes the node's statistics until they add up to its counters: the
// two are not read at the same moment, and a packet may come in between.
func (d *demo) account(ctx context.Context, n *node) error {
	all := make(map[netlogtype.Connection]netlogtype.Counts)
	var counters tstun.Counters
	var sum netlogtype.Counts
	err := eventually(ctx, func() (bool, error) {
		for c, v := range n.wrapper.ExtractStatistics() {
			all[c] = all[c].Add(v)
			sum = sum.Add(v)
		}
		counters = n.wrapper.Counters()
		return sum == passed(counters), nil
	})
	d.note(n, all, counters, sum)
	if err != nil {
		return fmt.Errorf("the connections add up to %+v, the counters say %+v", sum, passed(counters))
	}
	return nil
}

// evidence notes the books as they are when a step has failed, and shows what
// was dropped.
func (d *demo) evidence() {
	if len(d.result.Totals) == 0 {
		for _, n := range []*node{d.client, d.server} {
			all := n.wrapper.ExtractStatistics()
			var sum netlogtype.Counts
			for _, c := range all {
				sum = sum.Add(c)
			}
			d.note(n, all, n.wrapper.Counters(), sum)
		}
	}
	if d.p != nil && len(d.result.Drops) > 0 {
		d.p.printf("   dropped so far\n")
		d.p.draw(dropTable(d.result.Drops))
	}
}

// passed is what the counters say in the terms of statistics.
func passed(c tstun.Counters) netlogtype.Counts {
	return netlogtype.Counts{
		TxPackets: c.Out.Packets, TxBytes: c.Out.Bytes,
		RxPackets: c.In.Packets, RxBytes: c.In.Bytes,
	}
}

// note puts the node's books into the result, the biggest connections first.
func (d *demo) note(n *node, all map[netlogtype.Connection]netlogtype.Counts, c tstun.Counters, sum netlogtype.Counts) {
	first := len(d.result.Connections)
	for conn, counts := range all {
		d.result.Connections = append(d.result.Connections, connectionInfo{n.name, conn, counts})
	}
	slices.SortFunc(d.result.Connections[first:], func(a, b connectionInfo) int {
		return cmp.Or(
			-cmp.Compare(a.TxBytes+a.RxBytes, b.TxBytes+b.RxBytes),
			cmp.Compare(a.Proto, b.Proto), a.Src.Compare(b.Src), a.Dst.Compare(b.Dst))
	})
	d.noteDrops(n, "in", c.In.Drops)
	d.noteDrops(n, "out", c.Out.Drops)
	other := d.server
	if n == d.server {
		other = d.client
	}
	d.result.Totals = append(d.result.Totals, totalInfo{
		Node: n.name, Peer: other.name, Counts: sum,
		DroppedIn: c.In.Dropped(), DroppedOut: c.Out.Dropped(), Lost: lost(n, other),
	})
}

func (d *demo) noteDrops(n *node, direction string, drops map[filter.Reason]uint64) {
	for _, r := range filter.Reasons() {
		if drops[r] > 0 {
			d.result.Drops = append(d.result.Drops, dropInfo{n.name, direction, r, drops[r], r.Explain()})
		}
	}
}

func (d *demo) printAccounts() {
	for _, t := range d.result.Totals {
		d.p.printf("\n   connections of the %s\n", t.Node)
		d.p.draw(connectionTable(d.result.Connections, t))
	}
	d.p.printf("\n   drops\n")
	d.p.draw(dropTable(d.result.Drops))
	d.p.printf("\n")
	for i, t := range d.result.Totals {
		peer := d.result.Totals[1-i]
		d.p.printf("   the %s sent %s packets: the %s took %s and dropped %s, %s were lost on the way\n",
			t.Node, number(t.TxPackets), t.Peer, number(peer.RxPackets), number(peer.DroppedIn), number(t.Lost))
	}
	d.p.printf("   at both nodes, the connections add up to what the Wrapper counted\n")
}

func connectionTable(rows []connectionInfo, total totalInfo) *table {
	t := &table{right: []bool{false, false, false, true, true, true, true}}
	t.add("proto", "here", "there", "sent", "bytes", "received", "bytes")
	for _, c := range rows {
		if c.Node != total.Node {
			continue
		}
		t.add(append(ends(c.Connection), countCells(c.Counts)...)...)
	}
	t.rule()
	t.add(append([]string{"", "", "total"}, countCells(total.Counts)...)...)
	return t
}

// ends names both sides of a connection.
func ends(c netlogtype.Connection) []string {
	if c.IsZero() {
		return []string{"other", "", ""}
	}
	if !c.Proto.HasPorts() && c.Src.Port() == 0 && c.Dst.Port() == 0 {
		return []string{c.Proto.String(), c.Src.Addr().String(), c.Dst.Addr().String()}
	}
	return []string{c.Proto.String(), c.Src.String(), c.Dst.String()}
}

func countCells(c netlogtype.Counts) []string {
	return []string{number(c.TxPackets), number(c.TxBytes), number(c.RxPackets), number(c.RxBytes)}
}

func dropTable(rows []dropInfo) *table {
	t := &table{right: []bool{false, false, false, true, false}}
	t.add("node", "way", "reason", "packets", "meaning")
	for _, r := range rows {
		t.add(r.Node, r.Direction, r.Reason.String(), number(r.Packets), r.Meaning)
	}
	return t
}

// number groups the digits of n by three.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
