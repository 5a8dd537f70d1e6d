package main

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// painter writes text for people. It colours and draws as far as the output
// can show it.
type painter struct {
	w       io.Writer
	colour  bool
	unicode bool
	live    bool // lines can be drawn over
	columns int
	err     error // the first that w returned
}

func newPainter(env environment) *painter {
	return &painter{
		w:       env.stdout,
		colour:  env.colour(),
		unicode: env.unicode(),
		live:    env.terminal && env.getenv("TERM") != "dumb",
		columns: env.columns,
	}
}

// ANSI colours (ECMA-48 §8.3.117).
type colour string

const (
	bold   colour = "1"
	dim    colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	cyan   colour = "36"
)

func (p *painter) paint(c colour, s string) string {
	if !p.colour || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// pick returns the text that the output can show.
func (p *painter) pick(unicode, ascii string) string {
	if p.unicode {
		return unicode
	}
	return ascii
}

func (p *painter) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format, args...); err != nil && p.err == nil {
		p.err = err
	}
}

// width is the number of columns that s takes; the tool writes none that take
// two or none.
func width(s string) int { return utf8.RuneCountInString(s) }
