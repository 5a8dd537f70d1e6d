package main

import (
	"fmt"
	"strings"
	"time"
)

func (d *demo) hello() {
	if d.p == nil {
		return
	}
	d.p.printf("%s\n\n", d.p.paint(bold, "tstun demo: two WireGuard nodes on this machine"))
	t := &table{right: make([]bool, 5)}
	t.add("node", "addresses", "public key", "WireGuard at", "on")
	for _, n := range d.result.Nodes {
		t.add(n.Name, fmt.Sprintf("%v %v", n.Addresses[0], n.Addresses[1]), n.PublicKey[:8]+d.p.pick("…", "..."),
			n.Endpoint.String(), n.Interface)
	}
	d.p.draw(t)
	for _, n := range d.result.Nodes {
		if len(n.Rules) == 0 {
			d.p.printf("   %s has no rules: nothing comes in but replies\n", n.Name)
			continue
		}
		d.p.printf("   %s allows:\n", n.Name)
		for i, r := range n.Rules {
			d.p.wrapped("     ", fmt.Sprintf("rule %d: %s", i, r))
		}
	}
	d.p.printf("\n")
}

func (d *demo) printStep(s step, lines []string, took time.Duration, err error) {
	if d.p == nil {
		return
	}
	mark := d.p.paint(green, d.p.pick("✓", "ok"))
	if err != nil {
		mark = d.p.paint(red, d.p.pick("✗", "FAILED"))
	}
	d.p.printf("%s %s  %s\n", mark, d.p.paint(bold, s.title), d.p.paint(dim, short(took)))
	for _, l := range lines {
		d.p.wrapped("   "+l[:len(l)-len(strings.TrimLeft(l, " "))], l)
	}
	if err == nil && s.name == "accounts" {
		d.printAccounts()
	}
}

func (d *demo) bye() {
	if d.p == nil {
		return
	}
	d.p.printf("\n%s in %.1f s. All that was shown happened, and all that was started is gone.\n",
		d.p.paint(green, "done"), d.result.Seconds)
}

// short rounds a duration for people.
func short(t time.Duration) string {
	switch {
	case t < time.Millisecond:
		return fmt.Sprintf("%d us", t.Microseconds())
	case t < time.Second:
		return fmt.Sprintf("%.1f ms", float64(t)/float64(time.Millisecond))
	default:
		return fmt.Sprintf("%.2f s", t.Seconds())
	}
}
