package cli_test

import (
	"strings"
	"testing"
)

// A file that never ends is an error.
func TestEndlessFile(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads as much as a policy may have")
	}
	code, _, stderr := runToolOn(zeros{}, "check", "-")
	if code != exitUsage || !strings.Contains(stderr, "stdin: more than 64 MiB") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
