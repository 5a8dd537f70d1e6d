package main

import (
	"errors"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
)

// errAbandoned is the error of a command that the tool no longer waits for. Its
// goroutine may still run.
var errAbandoned = errors.New("interrupted")

// interruptible makes cmd, and all commands below it, end with
// errAbandoned when their context does, whatever they wait for or compute
// then: a file that nobody writes to, standard input, a difference of two
// large policies. What they began goes on until the process ends, so this is
// not for commands that have something to take down.
func interruptible(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		interruptible(c)
	}
	work := cmd.RunE
	if work == nil {
		return
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		done := make(chan error, 1)
		go func() { done <- work(cmd, args) }()
		select {
		case err := <-done:
			return err
		case <-cmd.Context().Done():
			return ui.Failf("", "%w", errAbandoned)
		}
	}
}
