package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tstun/cmd/tstun/internal/ui"
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
		d.p.Printf("   dropped so far\n")
		d.p.Draw(dropTable(d.result.Drops))
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
		d.p.Printf("\n   connections of the %s\n", t.Node)
		d.p.Draw(connectionTable(d.result.Connections, t))
	}
	d.p.Printf("\n   drops\n")
	d.p.Draw(dropTable(d.result.Drops))
	d.p.Printf("\n")
	for i, t := range d.result.Totals {
		peer := d.result.Totals[1-i]
		d.p.Paragraph("   ", fmt.Sprintf("%s sent %s packets: %s took %s and dropped %s, %s got lost",
			t.Node, ui.Number(t.TxPackets), t.Peer, ui.Number(peer.RxPackets), ui.Number(peer.DroppedIn), ui.Number(t.Lost)))
	}
	d.p.Printf("   at both nodes, the connections add up to what the Wrapper counted\n")
}

func connectionTable(rows []connectionInfo, total totalInfo) *ui.Table {
	t := &ui.Table{Right: []bool{false, false, false, true, true, true, true}}
	t.Add("proto", "here", "there", "sent", "bytes", "received", "bytes")
	for _, c := range rows {
		if c.Node != total.Node {
			continue
		}
		t.Add(append(ends(c.Connection), countCells(c.Counts)...)...)
	}
	t.Rule()
	t.Add(append([]string{"", "", "total"}, countCells(total.Counts)...)...)
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
	return []string{ui.Number(c.TxPackets), ui.Bytes(c.TxBytes), ui.Number(c.RxPackets), ui.Bytes(c.RxBytes)}
}

func dropTable(rows []dropInfo) *ui.Table {
	t := &ui.Table{Right: []bool{false, false, false, true, false}}
	t.Add("node", "way", "reason", "packets", "meaning")
	for _, r := range rows {
		t.Add(r.Node, r.Direction, r.Reason.String(), ui.Number(r.Packets), r.Meaning)
	}
	return t
}
