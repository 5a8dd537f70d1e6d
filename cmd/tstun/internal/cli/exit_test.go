package cli

import (
	"errors"
	"fmt"
	"testing"

	"tstun/cmd/tstun/internal/ui"
)

func TestExitCode(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"fine", nil, exitOK},
		{"usage", errors.New("what?"), exitUsage},
		{"bad input", ui.BadInput("do that", errors.New("no")), exitUsage},
		{"failure", ui.Failf("do that", "no %s", "way"), exitFailed},
		{"no hint", ui.Failf("", "no"), exitFailed},
		{"within another error", fmt.Errorf("a: %w", ui.Failf("", "no")), exitFailed},
	}
	for _, tt := range tests {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
