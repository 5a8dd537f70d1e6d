package ui_test

import (
	"testing"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

func TestNumbers(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := ui.Number(n); got != want {
			t.Errorf("Number(%d) = %q", n, got)
		}
	}
	for n, want := range map[int]string{0: "0 rules", 1: "1 rule", 2: "2 rules", 1000: "1,000 rules"} {
		if got := ui.Counted(n, "rule", "rules"); got != want {
			t.Errorf("Counted(%d) = %q", n, got)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999_999: "999,999", 1_000_000: "977 KiB", 10 << 20: "10.0 MiB", 1<<64 - 1: "8388608 TiB"} {
		if got := ui.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q", n, got)
		}
	}
	for d, want := range map[time.Duration]string{900 * time.Nanosecond: "0 us", 1500 * time.Microsecond: "1.5 ms", 2 * time.Second: "2.00 s"} {
		if got := ui.Duration(d); got != want {
			t.Errorf("Duration(%v) = %q", d, got)
		}
	}
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 192 * time.Second: "3m12s", 65 * time.Minute: "1h05m", 50 * time.Hour: "2d02h"} {
		if got := ui.Age(d); got != want {
			t.Errorf("Age(%v) = %q", d, got)
		}
	}
}
