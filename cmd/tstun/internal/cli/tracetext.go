package cli

import (
	"fmt"

	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

// print prints a flow, how far it comes, and below it what was found at this end, at the
// other, and between the two.
func (f *tracedFlow) print(p *ui.Painter, name string) {
	p.Printf("%s\n", oneLine(namedFlow{f.Flow, f.SrcName, f.DstName}.String()))
	hue := ui.Red
	if f.Verdict == flowReached {
		hue = ui.Green
	}
	p.Paragraph("   ", p.Paint(hue, string(f.Verdict))+": "+oneLine(f.summary(name)))
	for _, c := range f.Checks {
		if !c.OK {
			printWrong(p, name+", "+string(c.Step)+": "+c.Code, c.Text, c.Evidence, c.Advice)
		}
	}
	if f.Probe == nil {
		return
	}
	if f.Obstacle() == nil && f.Wrong() == nil {
		p.Printf("%s %s\n", p.Paint(ui.Green, "ok   "), oneLine(name))
	}
	if t := f.There; t != nil && t.OK {
		p.Printf("%s %s\n", p.Paint(ui.Green, "ok   "), oneLine(t.Tunnel))
	} else if t != nil {
		printWrong(p, fmt.Sprintf("%s, %s: %s", t.Tunnel, t.Step, t.Code), "its control socket says so", "", f.thereAdvice())
	}
	f.printProbe(p)
}

func printWrong(p *ui.Painter, head, text, evidence, advice string) {
	p.Printf("%s %s\n", p.Paint(ui.Red, "wrong"), oneLine(head))
	p.Paragraph("      ", oneLine(text))
	if evidence != "" {
		p.Paragraph("      ", "seen: "+oneLine(evidence))
	}
	p.Paragraph("      ", "do: "+oneLine(advice))
}

// printProbe prints what came back.
func (f *tracedFlow) printProbe(p *ui.Painter) {
	r := f.Probe
	if r.Outcome == tunnel.OutcomeAnswered {
		p.Printf("%s %s\n", p.Paint(ui.Green, "ok   "), r.Outcome)
		p.Paragraph("      ", oneLine(r.Text))
		return
	}
	if f.Verdict == flowReached {
		p.Printf("%s %s\n", p.Paint(ui.Green, "ok   "), r.Outcome)
		p.Paragraph("      ", oneLine(r.Text)+"; a program listens, and has no answer to an empty datagram")
		return
	}
	head := string(r.Outcome)
	if r.Code != "" {
		head += ": " + r.Code
	}
	printWrong(p, head, r.Text, "", r.Advice)
	for i, m := range r.MayBe {
		if i == 0 {
			p.Paragraph("      ", "it can mean:")
		}
		p.Paragraph("        ", "- "+oneLine(m))
	}
}

// summary returns in a sentence how far the flow comes.
func (f *tracedFlow) summary(name string) string {
	there, code := f.Peer, ""
	if f.Probe != nil {
		code = f.Probe.Code
	}
	if f.There != nil && !f.There.OK {
		there, code = f.There.Tunnel, f.There.Code
	}
	switch f.Verdict {
	case flowReached:
		return fmt.Sprintf("left %s, came to %s", name, there)
	case flowRefusedHere:
		return fmt.Sprintf("refused at %s by %s", name, f.Obstacle().Code)
	case flowRefusedThere:
		return fmt.Sprintf("left %s, refused at %s by %s", name, there, code)
	case flowClosed:
		return fmt.Sprintf("left %s, came to %s, where no program listens", name, there)
	case flowUnreachable:
		return fmt.Sprintf("left %s, got no further: %s", name, code)
	case flowAnswerRefused:
		return fmt.Sprintf("left %s, and the answer was refused here by %s", name, code)
	}
	return fmt.Sprintf("left %s, and nothing came back", name)
}

// advice returns the next step.
func (f *tracedFlow) advice() string {
	switch {
	case f.Probe == nil:
		return f.Obstacle().Advice
	case f.There != nil && !f.There.OK:
		return f.thereAdvice()
	}
	return f.Probe.Advice
}

// thereAdvice is the next step where the other end says what is wrong: who may see its
// rules sees them there.
func (f *tracedFlow) thereAdvice() string {
	dst := f.Dst.Addr().String()
	if f.Proto.HasPorts() {
		dst = f.Dst.String()
	}
	return fmt.Sprintf("ask there what to set right: tstun explain --tunnel %s --proto %v %v %s", f.There.Tunnel, f.Proto, f.Src, dst)
}
