package report

import (
	"math"
	"slices"
)

// Summary is what is shown of a series.
type Summary struct {
	Median, Min, Max float64
}

// Summarize returns the summary of values. Without values all of it is NaN.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{math.NaN(), math.NaN(), math.NaN()}
	}
	return Summary{Quantile(values, 0.5), slices.Min(values), slices.Max(values)}
}

// Quantile returns the q-quantile of values, 0 ≤ q ≤ 1, in linear
// interpolation between neighbours; NaN without values. It leaves values as
// they are.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// Ratios returns the summary of s relative to base: of the quotients of each
// round, so that what slowed one round down does not count. It is NaN if
// either is nil or no round of base is positive.
func Ratios(s, base *Series) Summary {
	if s == nil || base == nil {
		return Summarize(nil)
	}
	var quotients []float64
	for i := range min(len(s.Rounds), len(base.Rounds)) {
		if base.Rounds[i] > 0 {
			quotients = append(quotients, s.Rounds[i]/base.Rounds[i])
		}
	}
	return Summarize(quotients)
}

// RatioOfMedians returns the quotient of the two medians; NaN if either is nil
// or the base's is not positive. It is for differences, of which single rounds
// may be near zero.
func RatioOfMedians(s, base *Series) float64 {
	if s == nil || base == nil {
		return math.NaN()
	}
	b := Summarize(base.Rounds).Median
	if !(b > 0) {
		return math.NaN()
	}
	return Summarize(s.Rounds).Median / b
}
