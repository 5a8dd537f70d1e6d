package cli

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

const flowsHelp = `flows tells what a tunnel that runs carries and refuses: connections by the
names of the policy and of peers, with bytes, age, who began them and the rule
that let them in; and what was refused within about the last minute, with the
reason, the rule that comes nearest, and what that lacks.

FILTER has tcpdump's words, and some more: "tcp port 443 and not src net
10.0.0.0/8", "peer laptop and udp", "reason no-rule or shields-up". src and dst
are those of who began the flow, in is what a peer began.

It asks the only tunnel that runs, or that of --tunnel. With --json each flow is
one line, as docs/api.md has it; if something fails, a document with the error
follows.

Exit codes:
  0  it was told, also if there is no flow; of --watch, a signal ended it
  1  the tunnel does not run, keeps no records, or this user may not ask it
  2  the command line or FILTER is wrong`

type flowsOptions struct {
	asked
	query  control.FlowsQuery
	since  string
	limit  int
	filter []string
}

// shownFlows is how many connections and how many refused flows text shows by default.
const shownFlows = 40

// newFlowsCommand returns the command that tells of flows.
func newFlowsCommand(env ui.Environment, doc *document) *cobra.Command {
	var o flowsOptions
	cmd := &cobra.Command{
		Use:               "flows [FILTER]",
		Short:             "Tell what a tunnel carries and refuses, and why",
		Long:              flowsHelp,
		Example:           "  tstun flows\n  tstun flows --dropped --since -10m\n  tstun flows tcp port 443 and peer laptop\n  tstun flows --watch --json in and dropped",
		ValidArgsFunction: completeFilter(env, &o.asked),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.filter = args
			if !cmd.Flags().Changed("limit") && !doc.lines {
				o.limit = shownFlows
			}
			return linesEnd(cmd.Context(), doc, o.query.Follow, runFlows(cmd.Context(), env, doc, &o))
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.query.Dropped, "dropped", false, "refused flows alone")
	flags.StringVar(&o.since, "since", "", "also those that ended or were refused since `TIME`: -10m, or as RFC 3339 has it")
	flags.BoolVar(&o.query.Follow, "watch", false, "tell of flows as they begin, end and are refused, until a signal")
	flags.IntVar(&o.limit, "limit", 0, "at most `N` connections, those with the most bytes, and N refused flows, the latest; 0: all (default 40 as text)")
	o.addFlags(cmd, env)
	flags.BoolVar(&doc.lines, "json", false, "print a line of JSON for each flow instead of text")
	return cmd
}

func runFlows(ctx context.Context, env ui.Environment, doc *document, o *flowsOptions) (err error) {
	o.query.Filter, o.query.Limit = strings.Join(o.filter, " "), max(o.limit, 0)
	if o.since != "" {
		if o.query.Since, err = control.ParseSince(o.since, time.Now()); err != nil {
			return ui.BadInput("as in --since -10m", err)
		}
	}
	c, err := o.client(env)
	if err != nil {
		return err
	}
	if doc.lines {
		_, err = c.Flows(ctx, o.query, func(line []byte) error { return writeLine(env, line) })
		return err
	}
	p := ui.NewPainter(env)
	if o.query.Follow {
		return watchFlows(ctx, p, c, o.query)
	}
	var all []tunnel.Flow
	total, err := c.Flows(ctx, o.query, func(line []byte) error {
		var f tunnel.Flow
		err := json.Unmarshal(line, &f)
		all = append(all, f)
		return err
	})
	if err != nil {
		return err
	}
	if !o.query.Dropped {
		printPassed(p, all, total, time.Now())
		p.Printf("\n")
	}
	printDropped(p, all, total, time.Now())
	return p.Err()
}

// watchFlows prints what happens.
func watchFlows(ctx context.Context, p *ui.Painter, c *control.Client, q control.FlowsQuery) error {
	_, err := c.Flows(ctx, q, func(line []byte) error {
		var f tunnel.Flow
		if err := json.Unmarshal(line, &f); err != nil {
			return err
		}
		if f.Kind != tunnel.FlowForgotten || !q.Since.IsZero() {
			printFlowLine(p, &f)
		}
		return p.Err()
	})
	return err
}
