package main

import (
	"errors"
	"fmt"
	"io"
)

// Exit codes. The help of the root command documents them.
const (
	exitOK     = 0
	exitFailed = 1 // something that was to be done or shown did not happen
	exitUsage  = 2 // the command line makes no sense
)

// failure is an error of a command that was called rightly, with the next
// step for the user to take.
type failure struct {
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failf makes a failure with a hint.
func failf(hint, format string, args ...any) error {
	return &failure{fmt.Errorf(format, args...), hint}
}

// finish writes what is to be said of err to stderr and returns the exit code.
// An error that no command returned is the command line's.
func finish(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code, hint := exitUsage, "tstun help tells the commands, tstun help COMMAND their flags"
	var f *failure
	if errors.As(err, &f) {
		code, hint = exitFailed, f.hint
	}
	fmt.Fprintf(stderr, "error: %v\n", err)
	if hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	return code
}
