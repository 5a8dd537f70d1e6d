// Package ui is how commands talk to people and to programs: text and tables on
// a terminal or in a pipe, progress, numbers with units, errors with hints, and
// JSON.
package ui

// The rules of output:
//
//   - Data goes to stdout. Errors go to stderr: a line "error: ..." for each,
//     then a line "hint: ...", which says the next step; or, where errors in a
//     file have steps of their own, one for each with its place.
//   - A command that runs on logs to stderr, and has no data.
//   - With --json, stdout has one JSON document and nothing else, unless help
//     is asked for. The document carries the errors, too; stderr has them as
//     always. What there may be very much of, or without an end, is a line of
//     JSON each, and a document with the error follows only if there is one.
//   - Nothing waits for an answer of the user.
//   - Tables and paragraphs fit 80 columns, or the terminal's width if it is
//     less, down to 40. A pipe gets 80. Help fits 80.
//   - What check says of a file, a failed test or a change is one line, so that
//     grep(1) finds all of it. Its explanation follows in lines of its own.
//   - Colour needs a terminal, a TERM other than "dumb", and a NO_COLOR that is
//     empty or not set. A word or a mark says the same as the colour.
//   - A line is drawn over only on a terminal whose TERM is not "dumb", and is
//     gone at the end. Elsewhere, progress takes four lines at most.
//   - What the tool itself says on stdout is ASCII unless the locale is UTF-8.
//   - Counts on stdout have their digits grouped by three. Durations, sizes and
//     rates have units.
//   - A failed write does not stop the command, but makes it fail at the end.
//   - No write outlasts the command's context by more than 100 ms.

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// MaxColumns is the width that text for people does not exceed, on any
// terminal.
const MaxColumns = 80

// minColumns is the width that text is laid out for on a terminal that is
// narrower.
const minColumns = 40

// Painter writes text for people. It uses only those colours and characters
// that the output can show. One goroutine at a time uses it.
type Painter struct {
	w       io.Writer
	colour  bool
	unicode bool
	live    bool // a line can be drawn over
	columns int  // of the terminal, or 0 if they are not known
	err     error
}

// NewPainter returns a Painter that writes to the environment's Stdout.
func NewPainter(env Environment) *Painter {
	return &Painter{w: env.Stdout, colour: env.Colour(), unicode: env.Unicode(), live: env.Live(), columns: env.Columns}
}

// Silent returns a Painter whose text nobody sees.
func Silent() *Painter { return &Painter{w: io.Discard} }

// Colour is a colour or weight of text (ECMA-48 §8.3.117).
type Colour string

// The colours that the tool uses.
const (
	Bold  Colour = "1"
	Dim   Colour = "2"
	Red   Colour = "31"
	Green Colour = "32"
	Cyan  Colour = "36"
)

// Paint returns s in the colour, or s itself if the output has no colours.
func (p *Painter) Paint(c Colour, s string) string {
	if !p.colour || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// Pick returns unicode, or ascii if the output shows ASCII alone.
func (p *Painter) Pick(unicode, ascii string) string {
	if p.unicode {
		return unicode
	}
	return ascii
}

// Printf prints as fmt.Printf does. Err returns its error.
func (p *Painter) Printf(format string, args ...any) {
	if _, err := fmt.Fprintf(p.w, format, args...); err != nil && p.err == nil {
		p.err = err
	}
}

// Err returns the first error of a write as a Failure, or nil if every write
// succeeded.
func (p *Painter) Err() error {
	if p.err != nil {
		return WriteFailure(p.err)
	}
	return nil
}

// limit returns the number of columns that a table or a paragraph may take.
func (p *Painter) limit() int {
	if p.columns == 0 {
		return MaxColumns
	}
	return min(max(p.columns, minColumns), MaxColumns)
}

// Paragraph prints each line of text as a paragraph, and indent in front of
// each line of the paragraph.
func (p *Painter) Paragraph(indent, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		for _, part := range wrap(line, p.limit()-Width(indent)) {
			p.Printf("%s%s\n", indent, part)
		}
	}
}

// Entry prints head and text in one line, or if that does not fit, text as a paragraph
// below head.
func (p *Painter) Entry(head, text string) {
	if line := head + " " + text; Width(line) <= p.limit() {
		p.Printf("%s\n", line)
		return
	}
	p.Printf("%s\n", head)
	p.Paragraph("   ", text)
}

// wrap breaks text between words into lines of at most so many columns. A
// longer word gets a line of its own.
func wrap(text string, columns int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case Width(line)+1+Width(word) <= columns:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// Width returns the number of columns that s takes. It counts one for each
// character, since the tool writes no wide and no combining ones.
func Width(s string) int { return utf8.RuneCountInString(s) }
