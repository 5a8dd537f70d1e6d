package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figures is the least that a benchmark of one program took in any round.
type figures struct {
	ns     float64 // per packet if the benchmark says so, else per operation
	allocs float64 // per operation
}

// results is the figures of each benchmark, by name.
type results struct {
	names []string // in the order of the output
	least map[string]*[numPrograms]figures
}

// row is the results of one benchmark.
type row struct {
	name string
	by   [numPrograms]figures
}

var benchmarkLine = regexp.MustCompile(`^(Benchmark\S*?)(?:-\d+)?\s+\d+\s+(.*)$`)

// add takes the output of one run of a program in.
func (r *results) add(which int, out []byte) error {
	found := false
	for line := range strings.Lines(string(out)) {
		m := benchmarkLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		f, err := parseFigures(m[2])
		if err != nil {
			return fmt.Errorf("%s: %w", m[1], err)
		}
		r.take(m[1], which, f)
		found = true
	}
	if !found {
		return fmt.Errorf("no benchmark ran:\n%s", out)
	}
	return nil
}

// take keeps f if it is the least.
func (r *results) take(name string, which int, f figures) {
	if r.least == nil {
		r.least = make(map[string]*[numPrograms]figures)
	}
	all := r.least[name]
	if all == nil {
		all = new([numPrograms]figures)
		for i := range all {
			all[i] = figures{math.Inf(1), math.Inf(1)}
		}
		r.least[name] = all
		r.names = append(r.names, name)
	}
	all[which] = figures{min(all[which].ns, f.ns), min(all[which].allocs, f.allocs)}
}

// parseFigures reads pairs of a value and its unit.
func parseFigures(s string) (f figures, err error) {
	units := make(map[string]float64)
	fields := strings.Fields(s)
	for i := 0; i+1 < len(fields); i += 2 {
		if units[fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
			return f, err
		}
	}
	ns, ok := units["ns/packet"]
	if !ok {
		ns, ok = units["ns/op"]
	}
	if !ok || ns <= 0 {
		return f, fmt.Errorf("no time in %q", s)
	}
	return figures{ns: ns, allocs: units["allocs/op"]}, nil
}

// rows returns the results in the order of the benchmarks.
func (r *results) rows() []row {
	var rows []row
	for _, name := range r.names {
		rows = append(rows, row{name, *r.least[name]})
	}
	return rows
}

// comparable reports whether both revisions have the benchmark.
func (r row) comparable() bool {
	return !slices.ContainsFunc(r.by[:], func(f figures) bool { return math.IsInf(f.ns, 1) })
}

func (r row) ratio(which int) float64 { return r.by[which].ns / r.by[oldProgram].ns }

// slower reports whether new takes more than limit times of what both runs of
// old take.
func (r row) slower(limit float64) bool {
	return r.by[newProgram].ns > limit*max(r.by[oldProgram].ns, r.by[controlProgram].ns)
}

// noisy reports whether the two runs of old differ by more than limit.
func (r row) noisy(limit float64) bool {
	c := r.ratio(controlProgram)
	return c > limit || c*limit < 1
}

func (r row) allocatesMore() bool { return r.by[newProgram].allocs > r.by[oldProgram].allocs }

// write prints the table: nanoseconds, and ratios to old.
func write(w io.Writer, rows []row, limit float64) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "least of the rounds, ns\told\tnew\tcontrol\tnew/old\tcontrol/old\t\t")
	var logs [numPrograms]float64
	n := 0
	for _, r := range rows {
		if !r.comparable() {
			fmt.Fprintf(tw, "%s\tonly in one revision\t\t\t\t\t\t\n", r.name)
			continue
		}
		n++
		for i := range logs {
			logs[i] += math.Log(r.ratio(i))
		}
		fmt.Fprintf(tw, "%s\t%.2f\t%.2f\t%.2f\t%.3f\t%.3f\t%s\t\n", r.name, r.by[oldProgram].ns, r.by[newProgram].ns,
			r.by[controlProgram].ns, r.ratio(newProgram), r.ratio(controlProgram), r.remark(limit))
	}
	if n > 0 {
		fmt.Fprintf(tw, "geometric mean\t\t\t\t%.3f\t%.3f\t\t\n", math.Exp(logs[newProgram]/float64(n)), math.Exp(logs[controlProgram]/float64(n)))
	}
	return tw.Flush()
}

func (r row) remark(limit float64) string {
	switch {
	case r.allocatesMore():
		return fmt.Sprintf("allocates %v, not %v", r.by[newProgram].allocs, r.by[oldProgram].allocs)
	case r.slower(limit):
		return "slower"
	case r.noisy(limit):
		return "noisy"
	}
	return ""
}

var errNoise = errors.New("the two runs of the old revision differ by more than the limit")

// judge returns what is wrong with the new program. Noise is only wrong if it
// hides more than the limit.
func judge(rows []row, limit float64) error {
	compared, slower, noisy := 0, 0, 0
	for _, r := range rows {
		switch {
		case !r.comparable():
			continue
		case r.allocatesMore():
			return fmt.Errorf("%s: %s", r.name, r.remark(limit))
		case r.slower(limit):
			slower++
		case r.noisy(limit) && r.ratio(newProgram) > limit:
			noisy++
		}
		compared++
	}
	switch {
	case compared == 0:
		return errors.New("the revisions have no benchmark in common")
	case slower > 0:
		return fmt.Errorf("%d of %d benchmarks take more than %v times what they took", slower, compared, limit)
	case noisy > 0:
		return fmt.Errorf("%d of %d benchmarks: %w", noisy, compared, errNoise)
	}
	return nil
}
