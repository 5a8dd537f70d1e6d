package tunnel_test

import (
	"testing"
	"time"

	"tstun/filter"
	"tstun/tunnel"
)

// What passed and was dropped since Start is in Traffic as in the Counters.
func TestTraffic(t *testing.T) {
	web, laptop, _ := webAndLaptop(t)
	forget(t, web, laptop)
	got := web.Traffic(time.Time{})
	var in, out tunnel.IntervalTraffic
	for _, i := range got.Intervals {
		in, out = in.Plus(i.In), out.Plus(i.Out)
	}
	c := web.Status().Counters // a packet may come in between
	if got.Step != 10 || got.Truncated || !got.Intervals[0].From.Equal(web.Status().Started) || in.Bytes == 0 || in.Bytes > c.In.Bytes || out.Packets == 0 || out.Packets > c.Out.Packets || in.Drops[filter.ReasonNoRule] == 0 || in.Dropped() > c.In.Dropped() {
		t.Errorf("traffic %+v, counters %+v", got, c)
	}
}
