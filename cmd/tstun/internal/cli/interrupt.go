package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/ui"
)

// errAbandoned is the error of a command that the tool no longer waits for. Its
// goroutine may still run.
var errAbandoned = errors.New("interrupted")

// interruptible makes cmd and all commands below it return errAbandoned when
// their context ends. They need not look at the context: they may wait for
// standard input or for a pipe that nobody writes to, or compare two large
// policies. Their goroutines run on until the process ends. So a command that
// has something to take down must not be interruptible.
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
		go func() { done <- work(cmd, args) }() // ends with the work, or with the process
		select {
		case err := <-done:
			return err
		case <-cmd.Context().Done():
			return ui.Failf("", "%w", errAbandoned)
		}
	}
}
