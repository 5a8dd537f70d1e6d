package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
)

// unknownCommand returns the error of arguments whose first word is no command,
// or nil. cobra would report the flags behind the word instead, which belong
// to a command that does not exist.
func unknownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) || child(root, args[0]) != nil {
		return nil
	}
	return unknownWord(root, args[0])
}

// unknownWord returns the error of a word that is no command below cmd.
func unknownWord(cmd *cobra.Command, word string) error {
	hint := fmt.Sprintf("%s lists the commands", strings.Replace(cmd.CommandPath(), "tstun", "tstun help", 1))
	if cmd.Annotations[topicMark] != "" {
		hint = "tstun help lists the commands"
	}
	if near := nearest(word, names(cmd)); near != "" {
		hint = fmt.Sprintf("did you mean %s %s?", cmd.CommandPath(), near)
	}
	for _, group := range cmd.Commands() {
		if c := child(group, word); c != nil {
			hint = fmt.Sprintf("did you mean %s?", c.CommandPath())
		}
	}
	return ui.BadInput(hint, fmt.Errorf("unknown command %q for %q", word, cmd.CommandPath()))
}

// flagName matches a flag in cobra's list of a command's flags.
var flagName = regexp.MustCompile(`--([a-z][a-z0-9-]*)`)

// flagError returns err with the nearest flag as its hint, if err is an unknown
// flag and there is one near it.
func flagError(cmd *cobra.Command, err error) error {
	unknown, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	var known []string
	for _, m := range flagName.FindAllStringSubmatch(cmd.Flags().FlagUsages(), -1) {
		known = append(known, m[1])
	}
	if near := nearest(unknown, known); near != "" {
		return ui.BadInput(fmt.Sprintf("did you mean --%s?", near), err)
	}
	return err
}

// withUsageHint returns err as a Failure. An error that is none yet is one of
// cobra's, of the command line. It gets the hint where the help of cmd is.
func withUsageHint(cmd *cobra.Command, err error) error {
	var f *ui.Failure
	if err == nil || errors.As(err, &f) {
		return err
	}
	if cmd.HasSubCommands() && cmd.HasParent() && len(cmd.Flags().Args()) > 0 {
		return unknownWord(cmd, cmd.Flags().Arg(0))
	}
	hint := "tstun help tells the commands, tstun help COMMAND their flags"
	if cmd.HasParent() {
		hint = fmt.Sprintf("%s tells how it is called", strings.Replace(cmd.CommandPath(), "tstun", "tstun help", 1))
	}
	if strings.Contains(err.Error(), "arg(s)") {
		hint = "want " + cmd.UseLine() + "\n" + hint
	}
	return ui.BadInput(hint, err)
}
