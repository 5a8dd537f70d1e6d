package main

import (
	"context"

	"github.com/spf13/cobra"
)

const rootHelp = `tstun puts a packet filter, counters and injection between WireGuard and the
operating system, and needs no root where a userspace network stack will do.

Data goes to stdout. Errors go to stderr, as "error: ..." and "hint: ...", the
next step to take.

Exit codes:
  0  all that was asked for was done
  1  something was not done or refused, or did not happen as it should
  2  the command line, or a file that it names, is wrong`

// run executes one command line.
func run(ctx context.Context, env environment, args []string) int {
	root := newRoot(env)
	root.SetArgs(args)
	return finish(env.stderr, root.ExecuteContext(ctx))
}

func newRoot(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:           "tstun",
		Short:         "WireGuard tunnels with policy and visibility",
		Long:          rootHelp,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	root.AddCommand(newCheckCommand(env), newDemoCommand(env), newExplainCommand(env), newVersionCommand(env))
	return root
}
