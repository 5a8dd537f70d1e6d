package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
)

// asked is which tunnel that runs a command asks: the only one, or that of --tunnel.
type asked struct{ tunnel, stateDir string }

// addFlags adds --tunnel and --state-dir.
func (a *asked) addFlags(cmd *cobra.Command, env ui.Environment) {
	cmd.Flags().StringVar(&a.tunnel, "tunnel", "", "ask the tunnel `NAME`, where several run")
	addStateDirFlag(cmd, &a.stateDir)
	_ = cmd.RegisterFlagCompletionFunc("tunnel", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return a.names(env), cobra.ShellCompDirectiveNoFileComp
	})
}

// names returns which tunnels this user may ask.
func (a *asked) names(env ui.Environment) (names []string) {
	clients, _ := control.List(control.Dirs(a.stateDir, env.Getenv))
	for _, c := range clients {
		names = append(names, c.Name)
	}
	return names
}

// client returns who answers.
func (a *asked) client(env ui.Environment) (*control.Client, error) {
	dirs := control.Dirs(a.stateDir, env.Getenv)
	if a.tunnel != "" {
		return findTunnel(dirs, a.tunnel)
	}
	return onlyTunnel(dirs)
}

// linesEnd returns the error of a command that printed lines, of which err ended the
// answer. A signal is how one ends that follows. With --json the error follows the lines,
// as a document.
func linesEnd(ctx context.Context, doc *document, follows bool, err error) error {
	switch {
	case err == nil || follows && ctx.Err() != nil:
		return nil
	case ctx.Err() != nil:
		err = ui.Failf("", "%w", errAbandoned)
	case !isFailure(err):
		err = askFailure(err)
	}
	doc.wanted = doc.wanted || doc.lines
	return err
}

func isFailure(err error) bool {
	var f *ui.Failure
	return errors.As(err, &f)
}

// writeLine writes a line of JSON as it came.
func writeLine(env ui.Environment, line []byte) error {
	if _, err := env.Stdout.Write(append(line, '\n')); err != nil {
		return ui.WriteFailure(err)
	}
	return nil
}
