package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/top"
	"tstun/cmd/tstun/internal/ui"
)

const topHelp = `top shows what a tunnel that runs carries and refuses, as it changes: the flows
of "tstun flows" with their rates, what became of all packets, and what watching
costs. Of very many flows it shows the 500 connections with the most bytes and
the 500 refused flows that were refused last; FILTER chooses among all.

Keys: s sorts by rate, bytes, age, last packet or name; / changes FILTER, which
has effect as one types; Enter explains the row, and the arrow keys choose one;
d shows refused flows alone; p pauses; Esc clears FILTER; q ends.

It asks the only tunnel that runs, or that of --tunnel, and needs a terminal.

Exit codes:
  0  a key or a signal ended it
  1  the tunnel does not run, this user may not ask it, or there is no terminal
  2  the command line or FILTER is wrong`

// newTopCommand returns the command that shows flows as they change.
func newTopCommand(env ui.Environment, doc *document) *cobra.Command {
	var a asked
	cmd := &cobra.Command{
		Use:               "top [FILTER]",
		Short:             "Show what a tunnel carries and refuses, as it changes",
		Long:              topHelp,
		Example:           "  tstun top\n  tstun top --tunnel wg0 tcp and peer laptop",
		ValidArgsFunction: completeFilter(env, &a),
		RunE: func(cmd *cobra.Command, args []string) error {
			return linesEnd(cmd.Context(), doc, true, runTop(cmd.Context(), env, &a, strings.Join(args, " ")))
		},
	}
	a.addFlags(cmd, env)
	return cmd
}

func runTop(ctx context.Context, env ui.Environment, a *asked, filter string) error {
	c, err := a.client(env)
	if err != nil {
		return err
	}
	if !env.Live() {
		return ui.Failf("tstun flows --watch needs none", "%w", errors.New("standard output is no terminal that can be drawn on"))
	}
	enough := errors.New("enough")
	if _, err := c.Flows(ctx, control.FlowsQuery{Filter: filter, Limit: 1}, func([]byte) error { return enough }); err != nil && err != enough {
		return err
	}
	if err := top.Run(ctx, c, filter); err != nil {
		return ui.Failf("", "%w", err)
	}
	return nil
}
