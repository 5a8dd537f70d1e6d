package cli

import (
	"errors"

	"tstun/cmd/tstun/internal/ui"
)

// Exit codes. The help of the root command documents them.
const (
	exitOK     = 0
	exitFailed = 1 // a command failed, or found what it was to report as a failure
	exitUsage  = 2 // the command line, or a file that it names, is wrong
)

// exitCode returns the exit code of a command line that ended with err. An
// error without a Failure is one of the command line.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if f := (*ui.Failure)(nil); errors.As(err, &f) && !f.Misuse {
		return exitFailed
	}
	return exitUsage
}
