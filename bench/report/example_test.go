package report_test

import (
	"fmt"

	"tstun/bench/report"
)

func ExampleRatios() {
	r := new(report.Report)
	for _, mbits := range [][2]float64{{800, 880}, {400, 450}, {780, 850}} {
		s := report.Series{Part: report.Tunnel, Measure: "TCP", Unit: "Mbit/s", Better: report.More}
		s.Kind = "bare"
		r.Add(s, mbits[0])
		s.Kind = "tstun"
		r.Add(s, mbits[1])
	}
	bare, tstun := r.Find(report.Tunnel, "TCP", "", "bare"), r.Find(report.Tunnel, "TCP", "", "tstun")
	q := report.Ratios(tstun, bare)
	fmt.Printf("%.2f (%.2f–%.2f)\n", q.Median, q.Min, q.Max)
	// Output: 1.10 (1.09–1.12)
}
