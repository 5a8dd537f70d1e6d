// Package cli is the command line of tstun: a file for each command, and what
// all commands share: help, exit codes, signals, errors and their hints.
package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
)

const rootHelp = `tstun puts a packet filter, counters and injection between WireGuard and the
operating system, and needs no root where a userspace network stack will do.

Data goes to stdout. Errors go to stderr, as "error: ..." and "hint: ...", the
next step to take; so does the log of up. With --json, stdout has one JSON
document, whatever happens, which carries the errors too: "ok", "errors",
"hint", and what was asked for.

SIGINT and SIGTERM end every command at once, but up, which undoes what it did
first. A second one ends that, too.

Exit codes:
  0  all that was asked for was done; of up, a signal ended it
  1  something was not done or refused, did not happen as it should, or was
     ended by a signal
  2  the command line, or a file that it names, is wrong`

// Run runs a command line in an environment and returns the exit code. It ends
// soon after ctx does.
func Run(ctx context.Context, env ui.Environment, args []string) int {
	var doc document
	root := newRoot(env, &doc)
	root.SetArgs(args)
	cmd, err := root, unknownCommand(root, args)
	if err == nil {
		cmd, err = root.ExecuteContextC(ctx)
	}
	err = withUsageHint(cmd, err)
	if doc.wanted || err != nil && exitCode(err) == exitUsage && asksForJSON(args) {
		err = doc.write(env.Stdout, err)
	}
	ui.WriteError(env.Stderr, err)
	return exitCode(err)
}

// newRoot returns the root command, with all commands and topics below it.
func newRoot(env ui.Environment, doc *document) *cobra.Command {
	root := &cobra.Command{
		Use:           "tstun",
		Short:         "WireGuard tunnels with policy and visibility",
		Long:          rootHelp,
		Args:          cobra.NoArgs,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetVersionTemplate(versionLine())
	root.Flags().BoolP("version", "v", false, "print the version")
	root.SetUsageTemplate(usageTemplate(root.UsageTemplate()))
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newCheckCommand(env, doc), newExplainCommand(env, doc), newKeygenCommand(env, doc), newVersionCommand(env), newPolicyCommand(env, doc),
		newStatusCommand(env, doc), newDiagnoseCommand(env, doc), newConnectCommand(env))
	root.SetHelpCommand(newHelpCommand(root))
	root.InitDefaultHelpCmd()
	addCompletion(root)
	root.AddCommand(newManCommand(root))
	interruptible(root)
	// What has something to take down, or to put back, is not interruptible.
	root.AddCommand(newDemoCommand(env, doc), newUpCommand(env), newDownCommand(env), newPairCommand(env, doc))
	// What follows a tunnel ends by a signal, as it should.
	root.AddCommand(newFlowsCommand(env, doc), newEventsCommand(env, doc), newTopCommand(env, doc), newCaptureCommand(env), newTraceCommand(env, doc), newBundleCommand(env, doc), newReportCommand(env, doc))
	return root
}

// topicMark is the annotation of a command that is a topic of the help, too. What
// is below it is listed in a part of its own.
const topicMark = "topic"

// usageTemplate changes cobra's template: flags fit ui.MaxColumns, and a topic
// is listed as the command that shows it, behind the commands below it.
func usageTemplate(template string) string {
	const (
		begin = "{{if .HasHelpSubCommands}}\n\nAdditional help topics:"
		end   = "{{end}}{{if .HasAvailableSubCommands}}\n\nUse"
		row   = "\n  {{rpad %s %d}} {{.Short}}"
	)
	before, topics, _ := strings.Cut(template, begin)
	_, after, _ := strings.Cut(topics, end)
	topics = "{{range .Commands}}{{if .Annotations." + topicMark + "}}\n\nCommands of {{.Name}}:{{range .Commands}}{{if .IsAvailableCommand}}" +
		fmt.Sprintf(row, ".CommandPath", 21) + "{{end}}{{end}}\n\nAdditional help topics:" +
		fmt.Sprintf(row, `(print "tstun help " .Name)`, 19) + "{{end}}{{end}}{{if .HasAvailableSubCommands}}\n\nUse"
	return strings.NewReplacer(
		"Flags.FlagUsages ", fmt.Sprintf("Flags.FlagUsagesWrapped %d ", ui.MaxColumns),
		`(or .IsAvailableCommand (eq .Name "help"))`, `(and (not .Annotations.`+topicMark+`) (or .IsAvailableCommand (eq .Name "help")))`,
	).Replace(before + topics + after)
}
