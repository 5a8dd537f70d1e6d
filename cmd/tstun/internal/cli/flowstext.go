package cli

import (
	"fmt"
	"path/filepath"
	"time"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/tunnel"
)

// printPassed prints connections as a table.
func printPassed(p *ui.Painter, all []tunnel.Flow, total tunnel.FlowTotal, now time.Time) {
	passed := 0
	table := ui.Table{Right: []bool{false, true, true, true, false, false, false}}
	table.Add("flow", "bytes in", "bytes out", "age", "by", "state", "rule")
	for i := range all {
		if f := &all[i]; !f.IsRefused() {
			passed++
			table.Add(oneLine(f.Short()), ui.Bytes(f.In.Bytes), ui.Bytes(f.Out.Bytes), ui.Age(now.Sub(f.First)), f.Initiator.String(), flowState(f), ruleName(f.Rule))
		}
	}
	p.Printf("%s, %s in, %s out\n", ui.Counted(total.Passed, "flow", "flows"), size(total.In.Bytes), size(total.Out.Bytes))
	if passed > 0 {
		p.Draw(&table)
		more(p, total.Passed-passed)
	}
}

// printDropped prints refused flows with the reasons.
func printDropped(p *ui.Painter, all []tunnel.Flow, total tunnel.FlowTotal, now time.Time) {
	refused := 0
	p.Printf("%s, %s\n", ui.Counted(total.Refused, "refused flow", "refused flows"), packets(total.Dropped.Packets))
	for i := range all {
		if f := &all[i]; f.IsRefused() {
			refused++
			printRefused(p, f, now)
		}
	}
	if refused > 0 {
		more(p, total.Refused-refused)
	}
}

func more(p *ui.Painter, n int) {
	if n > 0 {
		p.Printf("   and %s more: --limit 0 shows all, FILTER chooses\n", ui.Number(uint64(n)))
	}
}

// printRefused prints a refused flow, and below it why.
func printRefused(p *ui.Painter, f *tunnel.Flow, now time.Time) {
	n := f.In.Packets + f.Out.Packets
	p.Paragraph("   ", fmt.Sprintf("%s: %s, last %s ago", flowTitle(f), packets(n), ui.Age(now.Sub(f.Last))))
	p.Paragraph("      ", p.Paint(ui.Red, f.Reason.String())+": "+refusalText(f))
}

// flowTitle returns who talks with whom, and which way if that is not in.
func flowTitle(f *tunnel.Flow) string {
	if f.Initiator == filter.InitiatorPeer {
		return oneLine(f.String())
	}
	return oneLine(f.String()) + ", outbound"
}

// refusalText says why a flow was refused, and what would allow it.
func refusalText(f *tunnel.Flow) string {
	switch {
	case f.Nearest != "":
		return oneLine(f.Nearest)
	case f.AllowedNow != nil:
		return fmt.Sprintf("%v, would allow it now", f.AllowedNow)
	}
	return f.Reason.Explain()
}

// printFlowLine prints what happened to a flow.
func printFlowLine(p *ui.Painter, f *tunnel.Flow) {
	if f.Lost > 0 {
		p.Printf("%s were lost: they came faster than they were read\n", ui.Counted(int(f.Lost), "record", "records"))
	}
	head := f.Time.Local().Format(time.TimeOnly) + " " + string(f.Kind)
	text := flowTitle(f)
	switch {
	case f.IsRefused():
		text += ": " + f.Reason.String() + ": " + refusalText(f)
	case f.Kind == tunnel.FlowEnded:
		text += fmt.Sprintf(": %v after %s, %s in, %s out", f.End, ui.Age(f.Time.Sub(f.First)), size(f.In.Bytes), size(f.Out.Bytes))
	case f.Rule != nil:
		text += ", by " + f.Rule.String()
	}
	p.Entry(head, oneLine(text))
}

func flowState(f *tunnel.Flow) string {
	switch {
	case f.Kind == tunnel.FlowEnded:
		return f.End.String()
	case f.Revoked:
		return "revoked"
	}
	return f.Phase.String()
}

// ruleName returns where a rule is: the file's name and the line.
func ruleName(r *tunnel.RulePlace) string {
	if r == nil {
		return "-"
	}
	return oneLine(fmt.Sprintf("%s:%d", filepath.Base(r.File), r.Line))
}
