package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

const header = "goos: linux\npkg: tstun\n"

func line(name string, ns, allocs float64) string {
	return fmt.Sprintf("Benchmark%s-2   \t    1000\t      9999 ns/op\t %v ns/packet\t  0 B/op\t %v allocs/op\n", name, ns, allocs)
}

// resultsOf runs each program once for each of its outputs.
func resultsOf(t *testing.T, outputs [numPrograms][]string) []row {
	t.Helper()
	var r results
	for which, outs := range outputs {
		for _, out := range outs {
			if err := r.add(which, []byte(header+out+"PASS\n")); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r.rows()
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name              string
		old, new, control []string
		want              string // in the error, "" for none
	}{
		{"equal", []string{line("W", 10, 0)}, []string{line("W", 10, 0)}, []string{line("W", 10, 0)}, ""},
		{"the least counts", []string{line("W", 10, 0), line("W", 30, 0)}, []string{line("W", 19, 0), line("W", 10.2, 0)}, []string{line("W", 10.1, 0)}, ""},
		{"slower", []string{line("W", 10, 0) + line("R", 5, 0)}, []string{line("W", 10, 0) + line("R", 5.2, 0)}, []string{line("W", 10, 0) + line("R", 5, 0)}, "1 of 2"},
		{"no slower than the control", []string{line("W", 10, 0)}, []string{line("W", 10.4, 0)}, []string{line("W", 10.5, 0)}, "runs of the old revision differ"},
		{"slower than both", []string{line("W", 10, 0)}, []string{line("W", 11, 0)}, []string{line("W", 10.5, 0)}, "1 of 1"},
		{"faster than a noisy control", []string{line("W", 10, 0)}, []string{line("W", 9, 0)}, []string{line("W", 11, 0)}, ""},
		{"allocates", []string{line("W", 10, 0)}, []string{line("W", 5, 1)}, []string{line("W", 10, 0)}, "allocates 1, not 0"},
		{"nothing in common", []string{line("W", 10, 0)}, []string{line("R", 10, 0)}, []string{line("W", 10, 0)}, "in common"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows := resultsOf(t, [numPrograms][]string{tt.old, tt.new, tt.control})
			got := ""
			if err := judge(rows, 1.03); err != nil {
				got = err.Error()
			}
			if got == "" != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("error %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTable(t *testing.T) {
	rows := resultsOf(t, [numPrograms][]string{
		{line("W", 10, 0) + line("R/udp", 4, 0) + line("X", 1, 0)},
		{line("W", 11, 0) + line("R/udp", 4, 0)},
		{line("W", 10, 0) + line("R/udp", 5, 0) + line("X", 1, 0)},
	})
	var b strings.Builder
	if err := write(&b, rows, 1.03); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"BenchmarkW  ", "1.100  ", "slower", "BenchmarkR/udp", "1.250  ", "noisy", "BenchmarkX", "only in one revision", "1.049", "1.118"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestAdd(t *testing.T) {
	for _, out := range []string{"", "PASS\n", "BenchmarkW-2 100 x ns/op\n", "BenchmarkW-2 100 5 B/op\n"} {
		var r results
		if err := r.add(oldProgram, []byte(out)); err == nil {
			t.Errorf("%q is taken", out)
		}
	}
	var r results // other names end as those that tell processors do
	if err := r.add(newProgram, []byte("BenchmarkW/batch=128/flows=1-2 \t 100\t 5 ns/op\n")); err != nil {
		t.Fatal(err)
	}
	if got := r.rows()[0]; got.name != "BenchmarkW/batch=128/flows=1" || got.by[newProgram].ns != 5 {
		t.Errorf("%+v", got)
	}
}

func TestParse(t *testing.T) {
	for _, args := range [][]string{{"x"}, {"--rounds", "0"}, {"--time", "0s"}, {"--limit", "0.9"}, {"--nope"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
	if o, err := parse(nil, io.Discard); err != nil || o.limit != 1.03 || o.old != "HEAD" {
		t.Errorf("%+v, %v", o, err)
	}
}
