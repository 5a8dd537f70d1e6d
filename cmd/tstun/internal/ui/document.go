package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Document is the JSON document that a command prints instead of text. It
// carries the command's errors as values.
type Document struct {
	Body  Body                           // what the command found, or nil if it found nothing
	Place func(error) (ErrorValue, bool) // tells where an error is, if it is in a file; nil tells of none
}

// Body is the content of a Document: a pointer to a struct that embeds Report.
type Body interface{ setReport(Report) }

// Report says how a command ended.
type Report struct {
	OK     bool         `json:"ok"`
	Errors []ErrorValue `json:"errors"`
	Hint   string       `json:"hint,omitempty"`
}

func (r *Report) setReport(v Report) { *r = v }

// ErrorValue is one error. All fields but Message are of an error in a file,
// and empty for others.
type ErrorValue struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Value   string `json:"value,omitempty"` // the wrong part of the file
	Message string `json:"message"`
}

// Write writes the document of a command that ended with err. It returns err,
// joined with the error of the write if that failed.
func (d Document) Write(w io.Writer, err error) error {
	body := d.Body
	if body == nil {
		body = &Report{}
	}
	body.setReport(Report{OK: err == nil, Errors: d.values(err), Hint: Hint(err)})
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	writeErr := enc.Encode(body)
	switch {
	case writeErr == nil:
		return err
	case err == nil:
		return WriteFailure(writeErr)
	}
	return &Failure{Err: errors.Join(err, fmt.Errorf("write: %w", writeErr)), Hint: Hint(err)}
}

// values returns a value for each of the errors in err, and no nil slice, which
// JSON would show as null.
func (d Document) values(err error) []ErrorValue {
	all := []ErrorValue{}
	for _, e := range single(err) {
		all = append(all, d.value(e))
	}
	return all
}

// value returns one error, with its place if it has one.
func (d Document) value(err error) ErrorValue {
	if d.Place != nil {
		if v, ok := d.Place(err); ok {
			return v
		}
	}
	v := ErrorValue{Message: err.Error()}
	var path *fs.PathError
	if errors.As(err, &path) {
		v.File = path.Path
	}
	return v
}

// single returns the errors that err joins, as errors.Join does, or err alone
// if its text says more than theirs.
func single(err error) []error {
	if err == nil {
		return nil
	}
	if f, ok := err.(*Failure); ok {
		return single(f.Err)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var lines []string
	for _, e := range joined.Unwrap() {
		all = append(all, single(e)...)
		lines = append(lines, e.Error())
	}
	if err.Error() != strings.Join(lines, "\n") {
		return []error{err}
	}
	return all
}
