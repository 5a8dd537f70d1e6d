package control_test

import (
	"testing"
	"time"

	"tstun/tunnel"
)

// What passed comes over the API as the tunnel tells it.
func TestTraffic(t *testing.T) {
	_, b := pair(t)
	_, c := serve(t, b)
	for _, since := range []time.Time{{}, time.Now().Add(-time.Minute)} {
		got, err := c.Traffic(within(t), since)
		if err != nil {
			t.Fatal(err)
		}
		var out tunnel.IntervalTraffic
		for _, i := range got.Intervals {
			out = out.Plus(i.Out)
		}
		if want := b.Status(); got.Step != 10 || out.Packets > want.Counters.Out.Packets || !got.Intervals[0].From.Equal(want.Started) {
			t.Errorf("since %v: %+v, want %+v", since, got, want.Counters)
		}
	}
}
