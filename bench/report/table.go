package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Layout says how a part is written.
type Layout struct {
	Part string
	Base string // kind that the others are set in relation to
	// Across puts the quantities side by side and the kinds below each other,
	// instead of the other way round.
	Across bool
}

// WriteText writes the report for people to read, part by part.
func (r *Report) WriteText(w io.Writer, layouts []Layout) error {
	m := r.Machine
	fmt.Fprintf(w, "%s, kernel %s, %s, %d cores, %s\n", m.System, m.Kernel, m.CPU, m.Cores, m.Go)
	for _, path := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(w, "  %s %s\n", path, r.Versions[path])
	}
	for _, l := range layouts {
		if len(r.Measures(l.Part)) == 0 {
			continue
		}
		if err := r.writePart(w, l); err != nil {
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

// writePart writes a block per measure.
func (r *Report) writePart(w io.Writer, l Layout) error {
	how := "median of each round's ratio"
	if l.Part == Packet {
		how = "ratio of medians"
	}
	fmt.Fprintf(w, "\n== %s: median (least–greatest) of the rounds, × %s (%s)\n", l.Part, l.Base, how)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, measure := range r.Measures(l.Part) {
		rows, columns := r.Quantities(l.Part, measure), r.Kinds(l.Part)
		if l.Across {
			rows, columns = columns, rows
		}
		fmt.Fprintf(t, "\n%s\t%s\n", measure, strings.Join(columns, "\t"))
		for _, row := range rows {
			r.writeRow(t, l, measure, row, columns)
		}
	}
	return t.Flush()
}

// writeRow writes a line, unless all of it is empty.
func (r *Report) writeRow(w io.Writer, l Layout, measure, row string, columns []string) {
	line, unit, any := "  "+row, "", false
	for _, column := range columns {
		quantity, kind := row, column
		if l.Across {
			quantity, kind = column, row
		}
		s := r.Find(l.Part, measure, quantity, kind)
		line += "\t" + r.cell(s, r.Find(l.Part, measure, quantity, l.Base))
		if s != nil {
			any, unit = true, s.Unit
		}
	}
	if !any {
		return
	}
	if !l.Across {
		line += "\t" + unit
	}
	fmt.Fprintln(w, line)
}

// cell writes what there is to say about a series beside base.
func (r *Report) cell(s, base *Series) string {
	if s == nil {
		return "–"
	}
	sum := Summarize(s.Rounds)
	text := Figure(sum.Median)
	if s.Better == Neither {
		return text
	}
	text += fmt.Sprintf(" (%s–%s)", Figure(sum.Min), Figure(sum.Max))
	if s == base || s.Unit == "%" { // shares compare by themselves
		return text
	}
	ratio := Ratios(s, base).Median
	if s.Part == Packet {
		ratio = RatioOfMedians(s, base)
	}
	if math.IsNaN(ratio) {
		return text
	}
	return text + fmt.Sprintf(" ×%.2f", ratio)
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
