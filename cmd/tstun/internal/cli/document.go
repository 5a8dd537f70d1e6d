package cli

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
)

// document is the JSON document of the command that runs. The command sets
// body; run writes the document when the command has ended.
type document struct {
	wanted bool // --json is given
	lines  bool // --json is given, of a command that prints lines and no document
	body   ui.Body
}

// write writes the document of a command that ended with err. It returns err,
// joined with the error of the write if that failed.
func (d *document) write(w io.Writer, err error) error {
	out := ui.Document{Place: place}
	if !errors.Is(err, errAbandoned) { // an abandoned command may still write to body
		out.Body = d.body
	}
	return out.Write(w, err)
}

// place returns an error of a policy with its place in the file.
func place(err error) (ui.ErrorValue, bool) {
	var at *policy.Error
	if !errors.As(err, &at) {
		return ui.ErrorValue{}, false
	}
	return ui.ErrorValue{File: at.File, Line: at.Line, Column: at.Column, Value: at.Value, Message: at.Message}, true
}

// asksForJSON reports whether the arguments ask for a document. It serves
// command lines with an error before which cobra has read no flags.
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
