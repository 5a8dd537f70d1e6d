package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/tunnel"
)

// explainTimeout bounds how long a tunnel may take to explain flows.
const explainTimeout = diagnoseTimeout

// runningResult is the JSON document of explain about a tunnel that runs.
type runningResult struct {
	ui.Report
	Tunnel string               `json:"tunnel,omitempty"`
	Flows  []tunnel.Explanation `json:"flows"`
}

// explainRunning has a tunnel that runs explain every flow from src to dst.
func explainRunning(ctx context.Context, env ui.Environment, doc *document, o explainOptions, src, dst string) error {
	result := runningResult{Flows: []tunnel.Explanation{}}
	doc.body = &result
	c, err := o.client(env)
	if err != nil {
		return err
	}
	result.Tunnel = c.Name
	q := control.ChecksQuery{Src: src, Dst: dst, Proto: o.proto}
	if o.outIsGiven {
		q.Direction = filter.Inbound.String()
		if o.out {
			q.Direction = filter.Outbound.String()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	answer, err := c.Checks(ctx, q)
	if err != nil {
		return checksFailure(err)
	}
	result.Flows = append(result.Flows, answer.Flows...)
	if !doc.wanted {
		p := ui.NewPainter(env)
		for _, e := range answer.Flows {
			printChecks(p, c.Name, e)
		}
		if err := p.Err(); err != nil {
			return err
		}
	}
	return wrongFlows(answer.Flows)
}

// checksFailure returns the error of a tunnel that was asked. That src and dst stand
// for nothing is an error of the command line.
func checksFailure(err error) error {
	var told *control.Error
	if errors.As(err, &told) && told.Code == http.StatusBadRequest {
		return ui.BadInput("tstun help explain tells what SRC and DST:PORT can be", err)
	}
	return askFailure(err)
}

// wrongFlows returns the error of flows of which something is wrong, with the next
// step of the first.
func wrongFlows(flows []tunnel.Explanation) error {
	wrong, hint := 0, ""
	for _, e := range flows {
		c := e.Wrong()
		if c == nil {
			continue
		}
		if wrong == 0 {
			hint = oneLine(c.Advice)
		}
		wrong++
	}
	if wrong == 0 {
		return nil
	}
	return ui.Failf(hint, "something is wrong with %s of %s", ui.Counted(wrong, "flow", "flows"), ui.Number(uint64(len(flows))))
}

// printChecks prints a flow, and below it each check. What is wrong is told with what
// was seen and what to do.
func printChecks(p *ui.Painter, name string, e tunnel.Explanation) {
	way := "from " + withPeer(e.Peer)
	if e.Direction == filter.Outbound {
		way = "to " + withPeer(e.Peer)
	}
	p.Printf("%s\n", oneLine(namedFlow{e.Flow, e.SrcName, e.DstName}.String()))
	p.Paragraph("   ", oneLine(fmt.Sprintf("%s, %s", name, way)))
	for _, c := range e.Checks {
		if c.OK {
			p.Printf("%s %s\n", p.Paint(ui.Green, "ok   "), c.Step)
			p.Paragraph("      ", oneLine(c.Text))
			continue
		}
		p.Printf("%s %s: %s\n", p.Paint(ui.Red, "wrong"), c.Step, c.Code)
		p.Paragraph("      ", oneLine(c.Text))
		if c.Evidence != "" {
			p.Paragraph("      ", "seen: "+oneLine(c.Evidence))
		}
		p.Paragraph("      ", "do: "+oneLine(c.Advice))
	}
	if e.Wrong() == nil {
		p.Paragraph("   ", "nothing is wrong, as far as can be seen here")
	}
}

func withPeer(name string) string {
	if name == "" {
		return "nobody that is a peer"
	}
	return "peer " + name
}
