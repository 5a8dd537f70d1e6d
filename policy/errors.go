package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Position is a place in a file. Lines and columns count from 1, columns in
// characters.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String returns FILE:LINE:COLUMN.
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Error is one thing that is wrong in a file.
type Error struct {
	Position
	// Value is the text in the file that is wrong, cut if it is long.
	Value string `json:"value"`
	// Message says what is wrong with it, or what was expected.
	Message string `json:"message"`
}

// Error returns place, value and message.
func (e *Error) Error() string {
	if e.Value == "" {
		return e.Position.String() + ": " + e.Message
	}
	return e.Position.String() + ": " + e.Value + ": " + e.Message
}

// Errors is all that is wrong in a file, or the first 100, in the order of the
// file. It is the error that Parse returns.
type Errors []*Error

// Error returns one error a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single errors.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}

// maxErrors bounds how many errors of a file are kept.
const maxErrors = 100

// maxShown is how many bytes of a value an error shows.
const maxShown = 60

// shown cuts a text to what an error shows of it, in one line.
func shown(raw []byte) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(raw[:min(len(raw), 4*maxShown)]), "\uFFFD")), " ")
	if len(text) <= maxShown {
		return text
	}
	cut := maxShown
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// quoted joins names for an error.
func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	if len(q) < 2 {
		return strings.Join(q, "")
	}
	return strings.Join(q[:len(q)-1], ", ") + " or " + q[len(q)-1]
}

// sorted puts e into the order of the file.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return e
}
