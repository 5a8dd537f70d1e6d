package ui

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Failure is the error of a command, with the next step for the user to take.
type Failure struct {
	Err    error
	Hint   string // the next step, or steps, a line each, or "" if none is known
	Misuse bool   // the command line, or a file that it names, is wrong
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Failf returns the Failure of a command that was called rightly. The format
// is that of fmt.Errorf.
func Failf(hint, format string, args ...any) error {
	return &Failure{Err: fmt.Errorf(format, args...), Hint: hint}
}

// BadInput returns the Failure of a command that was called wrongly, or with a
// wrong file.
func BadInput(hint string, err error) error { return &Failure{Err: err, Hint: hint, Misuse: true} }

// WriteFailure returns the Failure of a command that could not write its
// output.
func WriteFailure(err error) error { return Failf("", "write: %w", err) }

// Hint returns the next step after err, or "" if err has no Failure or no hint.
func Hint(err error) string {
	var f *Failure
	if errors.As(err, &f) {
		return f.Hint
	}
	return ""
}

// WriteError writes err for people: a line for each of the errors in it, then
// one for each hint. It writes nothing if err is nil.
func WriteError(w io.Writer, err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "error: %s\n", line)
	}
	if hint := Hint(err); hint != "" {
		for line := range strings.SplitSeq(hint, "\n") {
			fmt.Fprintf(w, "hint: %s\n", line)
		}
	}
}
