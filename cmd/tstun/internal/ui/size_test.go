package ui_test

import (
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/ui"
)

func TestParseSize(t *testing.T) {
	tests := []struct {
		in   string
		want ui.Size
	}{
		{"1", 1},
		{"4096", 4096},
		{"4096B", 4096},
		{"10MB", 10_000_000},
		{"10 mb", 10_000_000},
		{"256MiB", 256 << 20},
		{"256M", 256 << 20},
		{"256m", 256 << 20},
		{"1.5GiB", 3 << 29},
		{"2k", 2048},
		{"2kB", 2000},
		{"1g", 1 << 30},
		{"1GB", 1_000_000_000},
		{"1TiB", 1 << 40},
		{".5k", 512},
		{" 7 ", 7},
	}
	for _, tt := range tests {
		if got, err := ui.ParseSize(tt.in); got != tt.want || err != nil {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", tt.in, got, err, tt.want)
		}
	}
}

func TestParseSizeRefuses(t *testing.T) {
	for _, in := range []string{"", " ", "x", "12XB", "MB", "-1", "+1", "1..2", ".", "0", "0.1", "2TiB", "1e9", "1 2", "99999999999999999999", "NaN", "Inf", "0x10"} {
		if got, err := ui.ParseSize(in); err == nil || !strings.Contains(err.Error(), `"`+in+`"`) {
			t.Errorf("ParseSize(%q) = %d, %v, want an error that names it", in, got, err)
		}
	}
}

func TestSizeString(t *testing.T) {
	tests := []struct {
		in   ui.Size
		want string
	}{
		{0, "0 B"}, {1, "1 B"}, {1023, "1023 B"}, {1024, "1 KiB"}, {1536, "1.5 KiB"},
		{10_000_000, "9.54 MiB"}, {100 << 20, "100 MiB"}, {256 << 20, "256 MiB"}, {1 << 40, "1 TiB"}, {1 << 50, "1024 TiB"},
	}
	for _, tt := range tests {
		if got := tt.in.String(); got != tt.want {
			t.Errorf("%d: %q, want %q", int64(tt.in), got, tt.want)
		}
	}
}
