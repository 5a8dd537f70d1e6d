package main

import (
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/ui"
)

// A file that never ends is an error.
func TestEndlessFile(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads as much as a policy may have")
	}
	env := ui.Environment{Stdin: zeros{}}
	if _, err := readFile(env, stdinFile); err == nil || !strings.Contains(err.Error(), "stdin: more than 64 MiB") {
		t.Errorf("err = %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
