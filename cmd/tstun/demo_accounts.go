package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"tstun/filter"
	"tstun/netlogtype"
)

// accounts closes the books of both nodes.
func (d *demo) accounts(ctx context.Context) ([]string, any, error) {
	p, err := d.settle(ctx, settleTime)
	d.note(p)
	return nil, nil, err
}

// evidence notes the books as they are when a step has failed, and shows what
// was dropped.
func (d *demo) evidence() {
	if len(d.result.Totals) == 0 {
		p := accountPair{newBooks(d.client), newBooks(d.server)}
		p.read()
		d.note(p)
	}
	if d.p != nil && len(d.result.Drops) > 0 {
		d.p.printf("   dropped so far\n")
		d.p.draw(dropTable(d.result.Drops))
	}
}

// note puts the books of both nodes into the result.
func (d *demo) note(p accountPair) {
	d.noteBooks(p.client, p.server)
	d.noteBooks(p.server, p.client)
}

// noteBooks puts b into the result, the biggest connections first.
func (d *demo) noteBooks(b, peer *books) {
	name, c := b.node.name, b.counters
	first := len(d.result.Connections)
	for conn, counts := range b.connections {
		d.result.Connections = append(d.result.Connections, connectionInfo{name, conn, counts})
	}
	slices.SortFunc(d.result.Connections[first:], func(a, b connectionInfo) int {
		return cmp.Or(
			-cmp.Compare(a.TxBytes+a.RxBytes, b.TxBytes+b.RxBytes),
			cmp.Compare(a.Proto, b.Proto), a.Src.Compare(b.Src), a.Dst.Compare(b.Dst))
	})
	d.noteDrops(b.node, "in", c.In.Drops)
	d.noteDrops(b.node, "out", c.Out.Drops)
	d.result.Totals = append(d.result.Totals, totalInfo{
		Node: name, Peer: peer.node.name, Counts: b.sum,
		DroppedIn: c.In.Dropped(), DroppedOut: c.Out.Dropped(), Lost: lost(b, peer),
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
		d.p.wrapped("   ", fmt.Sprintf("%s sent %s packets: %s took %s and dropped %s, %s got lost",
			t.Node, number(t.TxPackets), t.Peer, number(peer.RxPackets), number(peer.DroppedIn), number(t.Lost)))
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
	return []string{number(c.TxPackets), shortBytes(c.TxBytes), number(c.RxPackets), shortBytes(c.RxBytes)}
}

// shortBytes is a number of bytes in at most eight columns: exact below a
// million, else in a unit. With --json all are exact.
func shortBytes(n uint64) string {
	if n < 1e6 {
		return number(n)
	}
	return byteSize(min(n, math.MaxInt64)).short()
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
