package wgquick

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a file. Lines and columns count from 1, columns in
// characters. Line 0 stands for the file as a whole.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String returns FILE:LINE:COLUMN, or FILE for the file as a whole.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error is one thing that is wrong in a file.
type Error struct {
	Position
	// Message says what is wrong.
	Message string `json:"message"`
	// Hint is the next step, or empty.
	Hint string `json:"hint,omitempty"`
}

// Error returns place and message.
func (e *Error) Error() string { return e.Position.String() + ": " + e.Message }

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

// Warning says of something in a file that it is not what it seems. The file
// can be used all the same.
type Warning struct {
	Position
	// Message says what becomes of it.
	Message string `json:"message"`
}

// String returns place and message.
func (w Warning) String() string { return w.Position.String() + ": " + w.Message }

// maxProblems bounds how many errors and how many warnings of a file are kept.
const maxProblems = 100

// problems are the errors and warnings of one file.
type problems struct {
	file     string
	errors   Errors
	warnings []Warning
}

func (p *problems) refuse(at place, hint, format string, args ...any) {
	if len(p.errors) < maxProblems {
		p.errors = append(p.errors, &Error{p.position(at), fmt.Sprintf(format, args...), hint})
	}
}

func (p *problems) warn(at place, format string, args ...any) {
	if len(p.warnings) < maxProblems {
		p.warnings = append(p.warnings, Warning{p.position(at), fmt.Sprintf(format, args...)})
	}
}

func (p *problems) position(at place) Position { return Position{p.file, at.line, at.column} }

// err returns the errors in the order of the file, or nil.
func (p *problems) err() error {
	if len(p.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(p.errors, func(a, b *Error) int { return a.compare(b.Position) })
	return p.errors
}

// sorted returns the warnings in the order of the file.
func (p *problems) sorted() []Warning {
	slices.SortStableFunc(p.warnings, func(a, b Warning) int { return a.compare(b.Position) })
	return p.warnings
}

func (p Position) compare(o Position) int {
	return cmp.Or(cmp.Compare(p.Line, o.Line), cmp.Compare(p.Column, o.Column))
}
