package main

import (
	"fmt"
	"strings"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

func (d *demo) hello() {
	if d.p == nil {
		return
	}
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

func (d *demo) printStep(s step, lines []string, took time.Duration, err error) {
	if d.p == nil {
		return
	}
	mark := d.p.Paint(ui.Green, d.p.Pick("✓", "ok"))
	if err != nil {
		mark = d.p.Paint(ui.Red, d.p.Pick("✗", "FAILED"))
	}
	d.p.Printf("%s %s  %s\n", mark, d.p.Paint(ui.Bold, s.title), d.p.Paint(ui.Dim, ui.Duration(took)))
	for _, l := range lines {
		d.p.Paragraph("   "+l[:len(l)-len(strings.TrimLeft(l, " "))], l)
	}
	if err == nil && s.name == "accounts" {
		d.printAccounts()
	}
}

func (d *demo) bye() {
	if d.p == nil {
		return
	}
	d.p.Printf("\n%s in %.1f s. All that was shown happened, and all that was started is gone.\n",
		d.p.Paint(ui.Green, "done"), d.result.Seconds)
}
