package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Exit codes. The help of the root command documents them.
const (
	exitOK     = 0
	exitFailed = 1 // something that was to be done or shown did not happen
	exitUsage  = 2 // the command line, or a file that it names, makes no sense
)

// failure is an error of a command that was called rightly, with the next
// step for the user to take.
type failure struct {
	err  error
	hint string
	code int
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failf makes a failure with a hint.
func failf(hint, format string, args ...any) error {
	return &failure{fmt.Errorf(format, args...), hint, exitFailed}
}

// badInput makes a failure of what a user wrote in a file, or said of it.
func badInput(hint string, err error) error { return &failure{err, hint, exitUsage} }

// isFailure reports whether err is a failure with that exit code.
func isFailure(err error, code int) bool {
	var f *failure
	return errors.As(err, &f) && f.code == code
}

// hintOf returns the next step that err tells, if it tells one.
func hintOf(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.hint
	}
	return ""
}

// finish writes what is to be said of err to stderr and returns the exit code.
// An error that is no failure is the command line's. Of several errors,
// each has a line of its own.
func finish(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitUsage
	if f := (*failure)(nil); errors.As(err, &f) {
		code = f.code
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(stderr, "error: %s\n", line)
	}
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	return code
}
