package ui

import (
	"context"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Environment is what a command knows of the process and the terminal that it
// runs in. Stdin may be nil for a command that reads nothing.
type Environment struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(name string) string // returns a variable's value, or "" if it is not set
	Terminal       bool                     // Stdout is a terminal
	Columns        int                      // the terminal's width, or 0 if it is not known
	StderrTerminal bool                     // Stderr is a terminal
	Journal        bool                     // Stderr goes to systemd's journal
	Takedown       *Takedown                // what the process does after a signal; nil: nobody asks
}

// System returns the environment of this process. Its Stdout and Stderr are
// Streams: they block no write for long after ctx has ended.
func System(ctx context.Context) Environment {
	e := Environment{
		Stdin:  os.Stdin,
		Stdout: NewStream(ctx, os.Stdout),
		Stderr: NewStream(ctx, os.Stderr),
		Getenv: os.Getenv,

		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Journal:        isJournal(os.Stderr, os.Getenv("JOURNAL_STREAM")),
		Takedown:       new(Takedown),
	}
	fd := int(os.Stdout.Fd())
	e.Terminal = term.IsTerminal(fd)
	if e.Terminal {
		if width, _, err := term.GetSize(fd); err == nil {
			e.Columns = width
		}
	}
	return e
}

// Colour reports whether Stdout takes colours and the user wants them
// (https://no-color.org).
func (e Environment) Colour() bool { return e.Live() && e.Getenv("NO_COLOR") == "" }

// Live reports whether Stdout is a terminal on which a line can be drawn over.
func (e Environment) Live() bool { return e.Terminal && e.Getenv("TERM") != "dumb" }

// HungUp reports whether the terminal that Stderr was is gone.
func (e Environment) HungUp() bool { return e.StderrTerminal && !term.IsTerminal(int(os.Stderr.Fd())) }

// Unicode reports whether the locale is UTF-8. As in setlocale(3), the first
// variable that is set decides. The locale decides for files and pipes, too.
func (e Environment) Unicode() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := e.Getenv(name); v != "" {
			v = strings.ToUpper(v)
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}
