package demo

import (
	"fmt"
	"strings"
	"time"

	"tstun/cmd/tstun/internal/ui"
	"tstun/netlogtype"
)

// intro prints the nodes and their rules.
func (d *demo) intro() {
	d.p.Printf("%s\n\n", d.p.Paint(ui.Bold, "tstun demo: two WireGuard nodes on this machine"))
	t := &ui.Table{Right: make([]bool, 5)}
	t.Add("node", "addresses", "public key", "WireGuard at", "on")
	for _, n := range d.result.Nodes {
		t.Add(n.Name, fmt.Sprintf("%v %v", n.Addresses[0], n.Addresses[1]), n.PublicKey[:8]+d.p.Pick("…", "..."),
			n.Endpoint.String(), n.Interface)
	}
	d.p.Draw(t)
	for _, n := range d.result.Nodes {
		if len(n.Rules) == 0 {
			d.p.Printf("   %s has no rules: nothing comes in but replies\n", n.Name)
			continue
		}
		d.p.Printf("   %s allows:\n", n.Name)
		for i, r := range n.Rules {
			d.p.Paragraph("     ", fmt.Sprintf("rule %d: %s", i, r))
		}
	}
	d.p.Printf("\n")
}

// printStep prints a step and the lines that it returned, which keep their
// indent.
func (d *demo) printStep(s step, lines []string, took time.Duration, err error) {
	mark := d.p.Paint(ui.Green, d.p.Pick("✓", "ok"))
	if err != nil {
		mark = d.p.Paint(ui.Red, d.p.Pick("✗", "FAILED"))
	}
	d.p.Printf("%s %s  %s\n", mark, d.p.Paint(ui.Bold, s.title), d.p.Paint(ui.Dim, ui.Duration(took)))
	for _, l := range lines {
		d.p.Paragraph("   "+l[:len(l)-len(strings.TrimLeft(l, " "))], l)
	}
	if err == nil && s.name == stepTotals {
		d.printTotals()
	}
}

// outro prints that the demo has succeeded.
func (d *demo) outro() {
	d.p.Printf("\n%s in %.1f s. All that was shown happened, and all that was started is gone.\n",
		d.p.Paint(ui.Green, "done"), d.result.Seconds)
}

// printTotals prints the connections and drops of both nodes, and their sums.
func (d *demo) printTotals() {
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

// connectionTable returns the table of one node's connections.
func connectionTable(all []ConnectionInfo, total TotalInfo) *ui.Table {
	t := &ui.Table{Right: []bool{false, false, false, true, true, true, true}}
	t.Add("proto", "here", "there", "sent", "bytes", "received", "bytes")
	for _, c := range all {
		if c.Node == total.Node {
			t.Add(append(connectionCells(c.Connection), countCells(c.Counts)...)...)
		}
	}
	t.Rule()
	t.Add(append([]string{"", "", "total"}, countCells(total.Counts)...)...)
	return t
}

// connectionCells returns the protocol and both ends of a connection. Ends of a
// protocol without ports are addresses.
func connectionCells(c netlogtype.Connection) []string {
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

// dropTable returns the table of the drops of both nodes.
func dropTable(drops []DropInfo) *ui.Table {
	t := &ui.Table{Right: []bool{false, false, false, true, false}}
	t.Add("node", "way", "reason", "packets", "meaning")
	for _, r := range drops {
		t.Add(r.Node, r.Direction, r.Reason.String(), ui.Number(r.Packets), r.Meaning)
	}
	return t
}
