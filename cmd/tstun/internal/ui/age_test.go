package ui_test

import (
	"testing"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

func TestAge(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Second, "59s": time.Minute - 1, "3m02s": 182 * time.Second, "23h59m": 24*time.Hour - 1, "2d01h": 49 * time.Hour,
	} {
		if got := ui.Age(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
