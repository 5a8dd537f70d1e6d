package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
)

// errorValues returns the errors in the document of a command that ended with
// err.
func errorValues(t *testing.T, err error) []ui.ErrorValue {
	t.Helper()
	var b bytes.Buffer
	if got := new(document).write(&b, err); got != err {
		t.Errorf("the error of the command became %v", got)
	}
	var doc ui.Report
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OK != (err == nil) || doc.Hint != ui.Hint(err) {
		t.Errorf("%+v", doc)
	}
	return doc.Errors
}

// Joined errors are values of their own, each with its place.
func TestErrorValues(t *testing.T) {
	at := &policy.Error{Position: policy.Position{File: "f", Line: 2, Column: 3}, Value: "v", Message: "m"}
	open := &fs.PathError{Op: "open", Path: "g", Err: fs.ErrNotExist}
	err := ui.BadInput("do that", errors.Join(policy.Errors{at, at}, open))
	got := errorValues(t, err)
	want := []ui.ErrorValue{{File: "f", Line: 2, Column: 3, Value: "v", Message: "m"}, {File: "f", Line: 2, Column: 3, Value: "v", Message: "m"},
		{File: "g", Message: open.Error()}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	whole := ui.Failf("", "both: %w, %w", errors.New("a"), errors.New("b"))
	if got := errorValues(t, whole); len(got) != 1 || got[0].Message != "both: a, b" {
		t.Errorf("what says more than its parts: %+v", got)
	}
	if got := errorValues(t, nil); got == nil || len(got) != 0 { // JSON has [], not null
		t.Errorf("no error: %v", got)
	}
}

func TestAsksForJSON(t *testing.T) {
	for args, want := range map[string]bool{
		"": false, "check a": false, "chekc --json": true, "chekc --json=true a": true, "chekc --json=0": false,
		"chekc --json --json=false": false, "chekc -- --json": false, "chekc --jsonx": false,
	} {
		if got := asksForJSON(strings.Fields(args)); got != want {
			t.Errorf("%q: %v", args, got)
		}
	}
}
