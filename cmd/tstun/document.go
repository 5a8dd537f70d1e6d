package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"tstun/policy"
)

// document is what a command prints with --json: one JSON document on stdout,
// whatever happens, that carries the errors as values. The command fills body
// in, and run prints it at the end.
type document struct {
	wanted bool
	body   reporter
}

// reporter is the body of a document: a struct that embeds report.
type reporter interface{ setReport(report) }

// report is how a command ended.
type report struct {
	OK     bool         `json:"ok"`
	Errors []errorValue `json:"errors"`
	Hint   string       `json:"hint,omitempty"`
}

func (r *report) setReport(v report) { *r = v }

// errorValue is one error. File and what follows are where it is, if it is in
// a file.
type errorValue struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Value   string `json:"value,omitempty"` // that is wrong
	Message string `json:"message"`
}

// write prints the document of a command that ended with err, and returns the
// error that is to be said to people.
func (d *document) write(w io.Writer, err error) error {
	var body reporter = &report{}
	if !errors.Is(err, errAbandoned) && d.body != nil { // else the command may still be filling it in
		body = d.body
	}
	body.setReport(report{OK: err == nil, Errors: errorValues(err), Hint: hintOf(err)})
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	writeErr := enc.Encode(body)
	switch {
	case writeErr == nil:
		return err
	case err == nil:
		return failf("", "write: %w", writeErr)
	}
	return &failure{errors.Join(err, fmt.Errorf("write: %w", writeErr)), hintOf(err), exitFailed}
}

// errorValues returns the single errors in err.
func errorValues(err error) []errorValue {
	all := []errorValue{}
	for _, e := range single(err) {
		v := errorValue{Message: e.Error()}
		var at *policy.Error
		var path *fs.PathError
		switch {
		case errors.As(e, &at):
			v = errorValue{at.File, at.Line, at.Column, at.Value, at.Message}
		case errors.As(e, &path):
			v.File = path.Path
		}
		all = append(all, v)
	}
	return all
}

// single takes apart what errors.Join and policy.Errors put together.
func single(err error) []error {
	if err == nil {
		return nil
	}
	var f *failure
	if errors.As(err, &f) && err == error(f) {
		return single(f.err)
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
		return []error{err} // it says more than its parts
	}
	return all
}

// asksForJSON reports whether a command line that could not be read asks for
// a document.
func asksForJSON(args []string) (asks bool) {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	for _, a := range args {
		if a == "--json" {
			asks = true
		} else if v, ok := strings.CutPrefix(a, "--json="); ok {
			asks, _ = strconv.ParseBool(v)
		}
	}
	return asks
}
