package main

// Rules of what the tool prints for people:
//
//   - Tables, explanations and help fit 80 columns, or the terminal's if it has
//     fewer, also in a pipe. A line that begins with a file's place or name, or
//     tells a change, is one line, so that grep(1) finds all of it.
//   - Colour, and lines that are drawn over, are for terminals that have them,
//     and for users who want them (NO_COLOR).
//   - Where the locale is not UTF-8, all is ASCII.
//   - Numbers have their digits grouped by three; durations and sizes have units.

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Columns that text for people takes at most, and that it is not cut below.
const (
	maxColumns = 80
	minColumns = 40
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

// limit is the number of columns that a table or a paragraph may take.
func (p *painter) limit() int {
	if p.columns == 0 {
		return maxColumns
	}
	return min(max(p.columns, minColumns), maxColumns)
}

// wrapped prints text as a paragraph behind an indent.
func (p *painter) wrapped(indent, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		for _, part := range wrap(line, p.limit()-width(indent)) {
			p.printf("%s%s\n", indent, part)
		}
	}
}

// wrap breaks text between its words into lines of at most columns. A word
// that is longer has a line of its own.
func wrap(text string, columns int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) <= columns:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// width is the number of columns that s takes; the tool writes none that take
// two or none.
func width(s string) int { return utf8.RuneCountInString(s) }
