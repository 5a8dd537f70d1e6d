package ui

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, and a flag of the command line: "10MB", "256MiB",
// "1.5G", "4096". As in SI, units such as MB are decimal. Units such as MiB
// are binary, and so are single letters, as in dd(1). Case does not matter.
type Size int64

// maxSize is the largest size that a user may ask for: a typing error must not
// keep the tool busy for days.
const maxSize Size = 1 << 40

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1 << 10, "kib": 1 << 10, "kb": 1e3,
	"m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1e9,
	"t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
}

// ParseSize returns the size that s writes. A size of less than one byte or
// more than 1 TiB is an error.
func ParseSize(s string) (Size, error) {
	text := strings.TrimSpace(s)
	end := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(text)
	}
	unit, known := sizeUnits[strings.ToLower(strings.TrimSpace(text[end:]))]
	number, err := strconv.ParseFloat(text[:end], 64)
	if err != nil || !known {
		return 0, fmt.Errorf("%q is no size: want a number and a unit, such as 10MB or 256MiB", s)
	}
	size := math.Round(number * unit)
	if size < 1 || size > float64(maxSize) {
		return 0, fmt.Errorf("%q is out of range: want 1 byte to %s", s, maxSize)
	}
	return Size(size), nil
}

// String returns the size in a binary unit, with at most two decimals:
// "1.5 KiB".
func (s Size) String() string {
	f, unit := s.scaled()
	text := strconv.FormatFloat(f, 'f', 2, 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".") + " " + unit
}

// Short returns the size in a binary unit, with one decimal below 100 and none
// from there on: "10.0 MiB".
func (s Size) Short() string {
	f, unit := s.scaled()
	if f < 100 {
		return strconv.FormatFloat(f, 'f', 1, 64) + " " + unit
	}
	return strconv.FormatFloat(f, 'f', 0, 64) + " " + unit
}

// scaled returns the size in the largest binary unit that it fills at least
// once, or in bytes if it fills none.
func (s Size) scaled() (f float64, unit string) {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(s), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return f, units[i]
}

// Set parses the flag's value. It leaves the size alone if the value is wrong.
func (s *Size) Set(value string) error {
	v, err := ParseSize(value)
	if err == nil {
		*s = v
	}
	return err
}

// Type returns the word that stands for the flag's value in the help.
func (s *Size) Type() string { return "size" }
