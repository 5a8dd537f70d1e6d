package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
)

// unknownCommand returns the error of a command line whose first word is no
// command. Flags behind it are not looked at: they are for a command that is
// not known.
func unknownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) || child(root, args[0]) != nil {
		return nil
	}
	return unknownWord(root, args[0])
}

func unknownWord(cmd *cobra.Command, word string) error {
	hint := fmt.Sprintf("%s lists the commands", strings.Replace(cmd.CommandPath(), "tstun", "tstun help", 1))
	if near := nearest(word, names(cmd)); near != "" {
		hint = fmt.Sprintf("did you mean %s %s?", cmd.CommandPath(), near)
	}
	return ui.BadInput(hint, fmt.Errorf("unknown command %q for %q", word, cmd.CommandPath()))
}

// flagName is a flag in what cobra says of a command's flags.
var flagName = regexp.MustCompile(`--([a-z][a-z-]*)`)

// flagError adds to the error of a flag that does not exist which one does.
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

// called gives the error of a command line that says too little or too much
// its hint: how the command is called.
func called(cmd *cobra.Command, err error) error {
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
	return ui.BadInput(hint, err)
}

// nearest returns the one of known that word is most likely to mean: one that
// begins with it, or that at most a third of its letters tell from it. It is
// empty if there is none.
func nearest(word string, known []string) (best string) {
	word = strings.ToLower(word)
	least := max(1, len(word)/3) + 1
	for _, k := range known {
		if len(word) > 1 && strings.HasPrefix(k, word) {
			return k
		}
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of letters to put in, leave out, change, or swap with
// their neighbour, that makes b of a.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
