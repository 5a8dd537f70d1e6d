package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

const downHelp = `down ends the tunnel NAME that "tstun up" runs, and waits until its addresses,
routes, rules and DNS are undone. NAME may also be the tunnel's wg-quick file.

If the process was killed, down undoes what it left. The next "tstun up" of that
name would do the same.

Exit codes:
  0  the tunnel has ended, and all is undone
  1  NAME does not run, this user may not end it, or not all could be undone
  2  the command line is wrong`

// newDownCommand returns the command that ends a tunnel.
func newDownCommand(env ui.Environment) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:               "down NAME",
		Short:             "End a tunnel, and undo what a killed one left",
		Long:              downHelp,
		Example:           "  sudo tstun down wg0",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTunnel(env, &dir),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDown(cmd.Context(), env, args[0], dir)
		},
	}
	addStateDirFlag(cmd, &dir)
	return cmd
}

func runDown(ctx context.Context, env ui.Environment, arg, dir string) error {
	dirs := control.Dirs(dir, env.Getenv)
	name, err := tunnelName(arg)
	if err != nil {
		return err
	}
	c, err := control.Find(dirs, name)
	if errors.Is(err, control.ErrNotRunning) {
		return cleanUp(env, dirs, name, dir, notFound(dirs, err))
	}
	if err != nil {
		return notFound(dirs, err)
	}
	if err := c.Down(ctx); err != nil {
		return askFailure(err)
	}
	return printDown(env, name+" has ended")
}

// cleanUp undoes what a killed run left. If there is nothing, the error is
// nothing's.
func cleanUp(env ui.Environment, dirs []string, name, dir string, nothing error) error {
	found, err := tunnel.CleanUp(name, stateDirOr(dir), func(string, ...any) {})
	switch {
	case errors.Is(err, fs.ErrPermission):
		return ui.Failf("run it with sudo", "%w", err)
	case err != nil:
		return ui.Failf("", "%w", err)
	}
	stale, err := control.RemoveStale(dirs, name)
	switch {
	case err != nil:
		return ui.Failf("", "%w", err)
	case !found && !stale:
		return nothing
	}
	return printDown(env, fmt.Sprintf("%s was killed: what it left is undone", name))
}

func printDown(env ui.Environment, text string) error {
	p := ui.NewPainter(env)
	p.Printf("%s\n", text)
	return p.Err()
}
