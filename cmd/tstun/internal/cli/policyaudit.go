package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

const auditHelp = `audit says which flows the policy of "tstun up --audit FILE" would refuse that
the one in force lets in, and which it would let in that are refused: of those
that are open or were refused within about the last minute, and with --since
also of those that ended or were refused since then, as far as they are
remembered. That policy drops nothing. Its file is watched; what is told is what
it says now.

Flows of the host's own need no rule, and are not in it.

Exit codes:
  0  both policies do the same with all flows
  1  they do not, or no tunnel answers or tries a policy
  2  the command line is wrong`

type auditOptions struct {
	asked
	since string
	limit int
}

// newAuditCommand returns the command that tells what a second policy would do.
func newAuditCommand(env ui.Environment, doc *document) *cobra.Command {
	var o auditOptions
	cmd := &cobra.Command{
		Use:     "audit",
		Short:   "Say what the policy of up --audit would do otherwise",
		Long:    auditHelp,
		Example: "  sudo tstun policy audit\n  sudo tstun policy audit --since 24h --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runAudit(cmd.Context(), env, doc, o) },
	}
	o.addFlags(cmd, env)
	cmd.Flags().StringVar(&o.since, "since", "", "tell also of flows that ended since a `TIME`, such as -1h or 2026-01-31T12:00:00Z")
	cmd.Flags().IntVar(&o.limit, "limit", 0, "tell of `N` flows of each kind at most; totals are of all")
	cmd.Flags().BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	return cmd
}

// auditResult is the JSON document of policy audit.
type auditResult struct {
	ui.Report
	Tunnel string       `json:"tunnel,omitempty"`
	Audit  tunnel.Audit `json:"audit,omitzero"`
}

func runAudit(ctx context.Context, env ui.Environment, doc *document, o auditOptions) error {
	var result auditResult
	doc.body = &result
	var since time.Time
	if o.since != "" {
		var err error
		if since, err = control.ParseSince(o.since, time.Now()); err != nil {
			return ui.BadInput("", err)
		}
	}
	if o.limit < 0 {
		return ui.BadInput("", fmt.Errorf("--limit %d: want a number from 1 on", o.limit))
	}
	c, err := o.client(env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	a, err := c.Audit(ctx, since, o.limit)
	if err != nil {
		return askFailure(err)
	}
	result.Tunnel, result.Audit = c.Name, a
	if !doc.wanted {
		p := ui.NewPainter(env)
		printAudit(p, &a)
		if err := p.Err(); err != nil {
			return err
		}
	}
	if n := a.WouldDrop.Flows + a.WouldPass.Flows; n > 0 {
		return ui.Failf("", "%s would fare otherwise", ui.Counted(n, "flow", "flows"))
	}
	return nil
}

// printAudit prints each flow, with what becomes of it under both policies.
func printAudit(p *ui.Painter, a *tunnel.Audit) {
	inForce := "no policy"
	if a.InForce.File != "" {
		inForce = a.InForce.File
	}
	p.Paragraph("", oneLine(fmt.Sprintf("in force: %s; tried: %s", inForce, a.Tried.File)))
	if a.Tried.Error != "" {
		p.Paragraph("", p.Paint(ui.Red, oneLine("the file that is tried was refused: "+a.Tried.Error)))
	}
	for i := range a.Flows {
		f := &a.Flows[i]
		word, now, then := p.Paint(ui.Red, "would drop"), "passes", ""
		if f.Rule != nil {
			now += " by " + f.Rule.String()
		}
		then = "is refused, " + f.Tried.Reason.String()
		if f.Tried.Nearest != "" {
			then += ": " + f.Tried.Nearest
		}
		if f.IsRefused() {
			word, now, then = p.Paint(ui.Green, "would pass"), "is refused, "+f.Reason.String(), "passes"
			if f.Tried.Rule != nil {
				then += " by " + f.Tried.Rule.String()
			}
		}
		p.Printf("\n%s  %s, %s\n", word, oneLine(f.String()), packets(f.In.Packets+f.Out.Packets))
		p.Paragraph("   ", oneLine("now: "+now))
		p.Paragraph("   ", oneLine("then: "+then))
	}
	if len(a.Flows) > 0 {
		p.Printf("\n")
	}
	p.Printf("would drop: %s, %s\n", ui.Counted(a.WouldDrop.Flows, "flow", "flows"), size(a.WouldDrop.Bytes))
	p.Printf("would pass: %s, %s\n", ui.Counted(a.WouldPass.Flows, "flow", "flows"), size(a.WouldPass.Bytes))
}
