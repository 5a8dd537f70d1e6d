package ui

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Number returns n with its digits grouped by three: "1,234".
func Number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Counted returns a count with its noun: "1 rule", "2 rules". It takes no
// negative count.
func Counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(uint64(n)) + " " + many
}

// Bytes returns a number of bytes, in eight columns below 1 PiB: exact below a
// million, else as Size.Short.
func Bytes(n uint64) string {
	if n < 1e6 {
		return Number(n)
	}
	return Size(min(n, math.MaxInt64)).Short()
}

// Duration returns a duration in microseconds, milliseconds or seconds:
// "1.5 ms".
func Duration(t time.Duration) string {
	switch {
	case t < time.Millisecond:
		return fmt.Sprintf("%d us", t.Microseconds())
	case t < time.Second:
		return fmt.Sprintf("%.1f ms", Milliseconds(t))
	default:
		return fmt.Sprintf("%.2f s", t.Seconds())
	}
}

// Age returns how long something took or is ago, in its two largest units: "3m12s". A
// negative duration is none.
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// Milliseconds returns a duration in milliseconds, as time.Duration.Seconds
// does in seconds.
func Milliseconds(t time.Duration) float64 { return float64(t) / float64(time.Millisecond) }

// Gbits returns the rate of a transfer in Gbit/s, or 0 if it took no time.
func Gbits(n Size, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(n) * 8 / took.Seconds() / 1e9
}

// rate returns the rate of a transfer with its unit.
func rate(n Size, took time.Duration) string {
	g := Gbits(n, took)
	if g < 1 {
		return fmt.Sprintf("%.0f Mbit/s", g*1000)
	}
	return fmt.Sprintf("%.2f Gbit/s", g)
}
