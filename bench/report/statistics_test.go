package report_test

import (
	"math"
	"slices"
	"testing"

	"tstun/bench/report"
)

func TestSummarize(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []float64
		want report.Summary
	}{
		{"one", []float64{3}, report.Summary{Median: 3, Min: 3, Max: 3}},
		{"odd", []float64{9, 1, 5}, report.Summary{Median: 5, Min: 1, Max: 9}},
		{"even", []float64{4, 1, 2, 9}, report.Summary{Median: 3, Min: 1, Max: 9}},
		{"negative", []float64{-4, -2, 1}, report.Summary{Median: -2, Min: -4, Max: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.in)
			if got := report.Summarize(tt.in); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if !slices.Equal(tt.in, before) {
				t.Errorf("the values became %v", tt.in)
			}
		})
	}
	if got := report.Summarize(nil); !math.IsNaN(got.Median) {
		t.Errorf("median of nothing is %v, want NaN", got.Median)
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{50, 10, 40, 20, 30}
	for q, want := range map[float64]float64{0: 10, 0.25: 20, 0.5: 30, 0.9: 46, 1: 50} {
		if got := report.Quantile(values, q); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v-quantile is %v, want %v", q, got, want)
		}
	}
}

// Ratios are those of each round, so a slow round does not count.
func TestRatios(t *testing.T) {
	series := func(rounds ...float64) *report.Series { return &report.Series{Rounds: rounds} }
	for _, tt := range []struct {
		name    string
		s, base *report.Series
		want    report.Summary
	}{
		{"rounds belong together", series(20, 2, 60), series(10, 1, 20), report.Summary{Median: 2, Min: 2, Max: 3}},
		{"the shorter counts", series(2), series(1, 100), report.Summary{Median: 2, Min: 2, Max: 2}},
		{"rounds without a base are left out", series(5, 3), series(0, 1), report.Summary{Median: 3, Min: 3, Max: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := report.Ratios(tt.s, tt.base); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	for _, base := range []*report.Series{nil, series(0, 0), series()} {
		if got := report.Ratios(series(1), base); !math.IsNaN(got.Median) {
			t.Errorf("ratio to %v is %v, want NaN", base, got)
		}
		if got := report.RatioOfMedians(series(1), base); !math.IsNaN(got) {
			t.Errorf("ratio of medians to %v is %v, want NaN", base, got)
		}
	}
	if got := report.RatioOfMedians(series(8, -1, 6), series(2, 100, 3)); got != 2 {
		t.Errorf("ratio of medians is %v, want 2", got)
	}
}
