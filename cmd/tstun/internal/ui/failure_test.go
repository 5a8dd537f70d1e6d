package ui_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/ui"
)

func TestWriteError(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"fine", nil, ""},
		{"no failure", errors.New("what?"), "error: what?\n"},
		{"hint", ui.Failf("do that", "no %s", "way"), "error: no way\nhint: do that\n"},
		{"no hint", ui.Failf("", "no"), "error: no\n"},
		{"within another error", fmt.Errorf("a: %w", ui.BadInput("do that", errors.New("b"))), "error: a: b\nhint: do that\n"},
		{"two errors", ui.BadInput("do that", errors.Join(errors.New("a"), errors.New("b"))), "error: a\nerror: b\nhint: do that\n"},
		{"two hints", ui.BadInput("do that\nthen that", errors.New("a")), "error: a\nhint: do that\nhint: then that\n"},
	}
	for _, tt := range tests {
		var b strings.Builder
		if ui.WriteError(&b, tt.err); b.String() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, b.String(), tt.want)
		}
	}
}
