package control_test

import (
	"testing"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/control/controltest"
)

// crowd returns a Client of controltest.Crowd's tunnel.
func crowd(tb testing.TB, open, refused int) *control.Client {
	tb.Helper()
	dir, _ := controltest.Crowd(tb, open, refused)
	c, err := control.Find([]string{dir}, "node")
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// BenchmarkFlows asks for all of 100,000 flows, for those of one peer, and for the 50 of
// the most bytes, from the first byte of the request to the last of the answer.
func BenchmarkFlows(b *testing.B) {
	c := crowd(b, 100_000, 10_000)
	for name, q := range map[string]control.FlowsQuery{
		"all":     {},
		"peer":    {Filter: "peer peer7"},
		"first":   {Limit: 50},
		"dropped": {Dropped: true},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			shown := 0
			for b.Loop() {
				total, err := c.Flows(b.Context(), q, func([]byte) error { return nil })
				if err != nil {
					b.Fatal(err)
				}
				shown = total.Shown
			}
			b.ReportMetric(float64(shown), "flows")
		})
	}
}
