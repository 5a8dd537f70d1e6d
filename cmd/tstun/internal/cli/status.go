package cli

import (
	"context"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
)

const statusHelp = `status tells what tunnels are at this moment, as "wg show" does, with their mode
and why it is that, their policy, and what was received, delivered and dropped.
Without NAME, it tells of all tunnels that this user may ask: root all of root's,
others their own. NAME may also be the tunnel's wg-quick file.

Exit codes:
  0  it was told, also if no tunnel runs
  1  NAME does not run, this user may not ask it, or it does not answer
  2  the command line is wrong`

// newStatusCommand returns the command that tells of tunnels that run.
func newStatusCommand(env ui.Environment, doc *document) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:               "status [NAME]",
		Short:             "Tell of tunnels that run",
		Long:              statusHelp,
		Example:           "  tstun status\n  sudo tstun status wg0 --json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeTunnel(env, &dir),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runStatus(cmd.Context(), env, doc, control.Dirs(dir, env.Getenv), args)
		},
	}
	addStateDirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&doc.wanted, "json", false, "print one JSON document instead of text")
	return cmd
}

// statusResult is the JSON document of status.
type statusResult struct {
	ui.Report
	Tunnels []control.Status `json:"tunnels"`
}

func runStatus(ctx context.Context, env ui.Environment, doc *document, dirs, names []string) error {
	result := statusResult{Tunnels: []control.Status{}}
	doc.body = &result
	clients, _ := control.List(dirs)
	if len(names) > 0 {
		c, err := findTunnel(dirs, names[0])
		if err != nil {
			return err
		}
		clients = []*control.Client{c}
	}
	all, err := statuses(ctx, clients)
	result.Tunnels = append(result.Tunnels, all...)
	if doc.wanted {
		return err
	}
	p := ui.NewPainter(env)
	for i := range all {
		if i > 0 {
			p.Printf("\n")
		}
		printStatus(p, &all[i])
	}
	if len(all) == 0 && err == nil {
		p.Printf("no tunnel: %s\n", whichRun(dirs))
	}
	if err == nil {
		err = p.Err()
	}
	return err
}
