package main

import (
	"context"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// environment is what the tool knows of where it runs.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	terminal       bool // stdout is one
	columns        int  // its width, 0 if unknown
}

// systemEnvironment is that of the process. No write lasts longer than ctx.
func systemEnvironment(ctx context.Context) environment {
	e := environment{
		stdin:  os.Stdin,
		stdout: newStream(ctx, os.Stdout),
		stderr: newStream(ctx, os.Stderr),
		getenv: os.Getenv,
	}
	fd := int(os.Stdout.Fd())
	e.terminal = term.IsTerminal(fd)
	if e.terminal {
		if width, _, err := term.GetSize(fd); err == nil {
			e.columns = width
		}
	}
	return e
}

// colour reports whether stdout is to be coloured (https://no-color.org).
func (e environment) colour() bool {
	return e.terminal && e.getenv("NO_COLOR") == "" && e.getenv("TERM") != "dumb"
}

// unicode reports whether stdout takes more than ASCII: the first of these
// variables that is set decides, as in setlocale(3). A file or pipe gets
// UTF-8 too where the locale is that.
func (e environment) unicode() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := e.getenv(name); v != "" {
			v = strings.ToUpper(v)
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}
