package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

const eventsHelp = `events tells what happened to a tunnel that runs: peers that came up, went down
or moved, routes and DNS that came and went, policies and files that were loaded
or refused, what other programs changed, and flows that were refused for the
first time. The latest 64 are kept, 16 of them of refused flows; of each peer
four of those are told at once and then one every 10 s, so that a scan does not
hide the rest.

It asks the tunnel NAME, or the only one that runs. With --json each event is
one line, as docs/api.md has it; if something fails, a document with the error
follows.

Exit codes:
  0  it was told; of --follow, the tunnel or a signal ended it
  1  the tunnel does not run, or this user may not ask it
  2  the command line is wrong`

// newEventsCommand returns the command that tells of events.
func newEventsCommand(env ui.Environment, doc *document) *cobra.Command {
	var a asked
	var follow bool
	cmd := &cobra.Command{
		Use:               "events [NAME]",
		Short:             "Tell what happened to a tunnel that runs",
		Long:              eventsHelp,
		Example:           "  tstun events\n  tstun events wg0 -f --json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeTunnel(env, &a.stateDir),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				a.tunnel = args[0]
			}
			return linesEnd(cmd.Context(), doc, follow, runEvents(cmd.Context(), env, doc, &a, follow))
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "also tell what comes, until the tunnel or a signal ends it")
	addStateDirFlag(cmd, &a.stateDir)
	cmd.Flags().BoolVar(&doc.lines, "json", false, "print a line of JSON for each event instead of text")
	return cmd
}

func runEvents(ctx context.Context, env ui.Environment, doc *document, a *asked, follow bool) error {
	c, err := a.client(env)
	if err != nil {
		return err
	}
	if doc.lines {
		return c.Events(ctx, follow, func(line []byte) error { return writeLine(env, line) })
	}
	p := ui.NewPainter(env)
	return c.Events(ctx, follow, func(line []byte) error {
		var e tunnel.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		printEvent(p, &e)
		return p.Err()
	})
}

// printEvent prints an event, in one line if it fits.
func printEvent(p *ui.Painter, e *tunnel.Event) {
	if e.Lost > 0 {
		p.Printf("%s before are not kept\n", ui.Counted(e.Lost, "event", "events"))
	}
	p.Entry(e.Time.Local().Format(time.DateTime)+" "+string(e.Kind), oneLine(e.String()))
}
