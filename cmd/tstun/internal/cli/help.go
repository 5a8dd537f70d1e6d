package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
)

// newHelpCommand returns the command that shows the help of others.
func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND|TOPIC]",
		Short: "Tell about a command, or about a topic such as policy",
		Long:  "help tells about a command, or about a topic such as policy, the form of the\npolicy file.",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return names(root), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			topic, err := find(root, args)
			if err != nil {
				return err
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
	}
}

// find returns the command or topic that args name, from root down. An unknown
// name is an error.
func find(root *cobra.Command, args []string) (*cobra.Command, error) {
	at := root
	for _, name := range args {
		next := child(at, name)
		if next == nil {
			what := strings.TrimSpace(strings.TrimPrefix(at.CommandPath(), root.Name()) + " " + name)
			hint := "tstun help lists the commands and topics"
			if near := nearest(name, names(at)); near != "" {
				hint = fmt.Sprintf("did you mean %s?", strings.Replace(at.CommandPath(), root.Name(), "tstun help", 1)+" "+near)
			}
			return nil, ui.BadInput(hint, fmt.Errorf("unknown help topic %q", what))
		}
		at = next
	}
	return at, nil
}

// child returns the command or topic directly below cmd that has this name or
// alias, or nil if there is none.
func child(cmd *cobra.Command, name string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == name || c.HasAlias(name) {
			return c
		}
	}
	return nil
}

// names returns the names of the commands and topics directly below cmd, but
// not of hidden ones.
func names(cmd *cobra.Command) (all []string) {
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			all = append(all, c.Name())
		}
	}
	return all
}
