package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
)

// WriteText writes the report for people to read. bases names, for each part,
// the kind that the others are set in relation to.
func (r *Report) WriteText(w io.Writer, bases map[string]string) error {
	m := r.Machine
	fmt.Fprintf(w, "%s, kernel %s, %s, %d cores, %s\n", m.System, m.Kernel, m.CPU, m.Cores, m.Go)
	for _, path := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(w, "  %s %s\n", path, r.Versions[path])
	}
	for _, part := range []string{Packet, Tunnel} {
		if len(r.Measures(part)) == 0 {
			continue
		}
		if err := r.writePart(w, part, bases[part]); err != nil {
			return err
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\nnote: %s\n", n)
	}
	if !r.Complete {
		fmt.Fprintln(w, "\nnot complete: the run was ended early")
	}
	return nil
}

// writePart writes a table of a part: a block per measure, a line per
// quantity and kind.
func (r *Report) writePart(w io.Writer, part, base string) error {
	fmt.Fprintf(w, "\n== %s: median (min–max) of the rounds; × is relative to %s\n", part, base)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, measure := range r.Measures(part) {
		fmt.Fprintf(t, "\n%s\n", measure)
		for _, quantity := range r.Quantities(part, measure) {
			for _, kind := range r.Kinds(part) {
				if s := r.Find(part, measure, quantity, kind); s != nil {
					sum := Summarize(s.Rounds)
					fmt.Fprintf(t, "  %s\t%s\t%s %s\t(%s–%s)\t%s\n", quantity, kind,
						Figure(sum.Median), s.Unit, Figure(sum.Min), Figure(sum.Max),
						r.relation(s, r.Find(part, measure, quantity, base)))
				}
			}
		}
	}
	return t.Flush()
}

// relation says how s compares with base, or nothing if that means nothing.
func (r *Report) relation(s, base *Series) string {
	if s == base || s.Better == Neither {
		return ""
	}
	if s.Part == Packet {
		return times(RatioOfMedians(s, base))
	}
	q := Ratios(s, base)
	if math.IsNaN(q.Median) {
		return ""
	}
	return fmt.Sprintf("%s (%.2f–%.2f)", times(q.Median), q.Min, q.Max)
}

func times(q float64) string {
	if math.IsNaN(q) {
		return ""
	}
	return fmt.Sprintf("× %.2f", q)
}

// Figure writes v with three significant digits, and whole from 100 on.
func Figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 99.5:
		return grouped(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 9.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a == 0:
		return "0"
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// grouped puts a comma between thousands.
func grouped(digits string) string {
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
