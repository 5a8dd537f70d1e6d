package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a number of bytes as a flag: "10MB", "256MiB", "1.5G", "4096".
// A unit with B alone is decimal, as in SI; one with iB, or of one letter, is
// binary, as in dd(1). Case does not matter.
type byteSize int64

// maxSize keeps a slip of the finger from running for days.
const maxSize byteSize = 1 << 40

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1 << 10, "kib": 1 << 10, "kb": 1e3,
	"m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1e9,
	"t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
}

func parseSize(s string) (byteSize, error) {
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
	return byteSize(size), nil
}

// String returns the shortest binary form with at most two decimals.
func (b byteSize) String() string {
	f, unit := b.scaled()
	text := strconv.FormatFloat(f, 'f', 2, 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".") + " " + unit
}

// short returns the binary form with three digits or four, such as "10.0 MiB".
func (b byteSize) short() string {
	f, unit := b.scaled()
	if f < 100 {
		return strconv.FormatFloat(f, 'f', 1, 64) + " " + unit
	}
	return strconv.FormatFloat(f, 'f', 0, 64) + " " + unit
}

// scaled returns b in the largest unit of which it is at least one.
func (b byteSize) scaled() (f float64, unit string) {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(b), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return f, units[i]
}

// Set and Type make it a flag.
func (b *byteSize) Set(s string) (err error) {
	v, err := parseSize(s)
	if err == nil {
		*b = v
	}
	return err
}

// Type names the flag's value in the help.
func (b *byteSize) Type() string { return "size" }
