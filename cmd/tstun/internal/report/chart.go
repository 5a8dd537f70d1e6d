package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

// Sizes of the chart in pixels. It is as wide as the page: across, the plots have
// chartWidth units, and labels are placed in per cent, so that text is not scaled.
const (
	chartWidth  = 1000
	plotTop     = 20
	bytesHeight = 170
	dropsHeight = 50
	plotGap     = 28
	axisHeight  = 24
)

// chart is how the traffic is drawn.
type chart struct {
	Height, Top, BytesHeight, DropsTop, DropsHeight int
	In, Out, InArea, OutArea, Drops                 string // paths
	Lines                                           []int  // across, by their y
	Labels                                          []label
	Caption                                         string
	Table                                           []chartRow
}

// label is a text in the chart.
type label struct {
	X      string // in per cent
	Y      int
	Anchor string
	Text   string
}

// chartRow is a row of the chart's table.
type chartRow struct{ From, In, Out, Dropped string }

// plot has what is drawn of each interval.
type plot struct {
	from, until time.Time
	spans       []span
}

// span is an interval in the chart.
type span struct {
	x1, x2           float64 // across
	in, out, dropped float64 // bytes a second, and packets a second
	at               time.Time
}

// newChart draws the traffic until a moment, or returns nil if none is known.
func newChart(t *tunnel.Traffic, until time.Time, zone *time.Location) *chart {
	p := newPlot(t, until)
	if len(p.spans) == 0 {
		return nil
	}
	c := &chart{
		Height: plotTop + bytesHeight + plotGap + dropsHeight + axisHeight,
		Top:    plotTop, BytesHeight: bytesHeight, DropsTop: plotTop + bytesHeight + plotGap, DropsHeight: dropsHeight,
	}
	most, dropped := 0.0, 0.0
	for _, s := range p.spans {
		most, dropped = max(most, s.in, s.out), max(dropped, s.dropped)
	}
	step := lineStep(most)
	top := step * max(2, math.Ceil(most/step))
	for v := 0.0; v <= top; v += step {
		y := plotTop + int(bytesHeight*(1-v/top))
		c.Lines = append(c.Lines, y)
		if v > 0 {
			c.Labels = append(c.Labels, label{"0", y - 4, "start", rate(v)})
		}
	}
	c.Lines = append(c.Lines, c.DropsTop+dropsHeight)
	c.Labels = append(c.Labels, label{"0", c.DropsTop - 6, "start", dropsLabel(dropped)})
	c.In = p.path(bytesHeight, top, false, func(s span) float64 { return s.in })
	c.Out = p.path(bytesHeight, top, false, func(s span) float64 { return s.out })
	c.InArea = p.path(bytesHeight, top, true, func(s span) float64 { return s.in })
	c.OutArea = p.path(bytesHeight, top, true, func(s span) float64 { return s.out })
	c.Drops = p.path(dropsHeight, dropped, true, func(s span) float64 { return s.dropped })
	c.Labels = append(c.Labels, p.times(c.Height-6, zone)...)
	c.Caption = p.caption(zone)
	c.Table = tableOf(t, zone)
	return c
}

func newPlot(t *tunnel.Traffic, until time.Time) plot {
	p := plot{until: until}
	if len(t.Intervals) == 0 {
		return p
	}
	p.from = t.Intervals[0].From
	all := until.Sub(p.from)
	last := 0.0
	for i := range t.Intervals {
		x := &t.Intervals[i]
		end := until
		if i+1 < len(t.Intervals) {
			end = t.Intervals[i+1].From
		}
		long := end.Sub(x.From).Seconds()
		to := chartWidth * float64(end.Sub(p.from)) / float64(all)
		if all <= 0 || long <= 0 || to <= last { // the clock was set back
			continue
		}
		p.spans = append(p.spans, span{
			x1: last, x2: min(to, chartWidth), at: x.From,
			in: float64(x.In.Bytes) / long, out: float64(x.Out.Bytes) / long, dropped: float64(x.In.Dropped()+x.Out.Dropped()) / long,
		})
		last = to
	}
	return p
}

// path draws a value in steps, as a line or as the area below it.
func (p *plot) path(height int, top float64, area bool, value func(span) float64) string {
	var b strings.Builder
	y := func(v float64) string {
		if top > 0 {
			v /= top
		}
		return short(float64(height) * (1 - v))
	}
	if area {
		fmt.Fprintf(&b, "M0 %d", height)
	}
	last := ""
	for i, s := range p.spans {
		at := y(value(s))
		switch {
		case i == 0 && !area:
			b.WriteString("M" + short(s.x1) + " " + at)
		case at != last:
			b.WriteString("H" + short(s.x1) + "V" + at)
		}
		last = at
	}
	fmt.Fprintf(&b, "H%d", chartWidth)
	if area {
		fmt.Fprintf(&b, "V%dZ", height)
	}
	return b.String()
}

// short writes a number with one decimal, or none.
func short(v float64) string { return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") }

// lineStep returns the distance of lines across, in bytes a second: a round value of a
// binary unit, of which four reach most.
func lineStep(most float64) float64 {
	for unit := 1.0; unit < 1<<50; unit *= 1024 {
		for _, n := range []float64{1, 2, 5, 10, 20, 50, 100, 200, 500} {
			if n*unit*4 >= most {
				return n * unit
			}
		}
	}
	return most / 4
}

func rate(v float64) string { return strings.Replace(size(uint64(v)), ".0 ", " ", 1) + "/s" }

func dropsLabel(most float64) string {
	if most == 0 {
		return "no packet dropped"
	}
	return fmt.Sprintf("dropped, at most %s/s", packetRate(most))
}

func packetRate(v float64) string {
	if v < 10 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return ui.Number(uint64(v))
}

// timeSteps are how far labels of the time are from each other.
var timeSteps = []time.Duration{
	5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute,
	30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
}

// times returns labels at round times, as many as fit a narrow screen.
func (p *plot) times(y int, zone *time.Location) (all []label) {
	const most, edge = 5, 6 // labels, and per cent of the width that half of one takes
	step, long := timeSteps[0], p.until.Sub(p.from)
	for _, step = range timeSteps {
		if long/step <= most {
			break
		}
	}
	step = max(step, long/most) // of a clock that was set
	form := "15:04"
	if step < time.Minute {
		form = time.TimeOnly
	}
	_, offset := p.from.In(zone).Zone()
	shift := time.Duration(offset) * time.Second
	for at := p.from.Add(shift).Truncate(step).Add(-shift); at.Before(p.until); at = at.Add(step) {
		if x := 100 * float64(at.Sub(p.from)) / float64(long); x >= edge && x <= 100-edge {
			all = append(all, label{short(x) + "%", y, "middle", at.In(zone).Format(form)})
		}
	}
	return all
}

// caption says when there was most.
func (p *plot) caption(zone *time.Location) string {
	var in, out, dropped span
	for _, s := range p.spans {
		if s.in > in.in {
			in = s
		}
		if s.out > out.out {
			out = s
		}
		if s.dropped > dropped.dropped {
			dropped = s
		}
	}
	at := func(s span) string { return s.at.In(zone).Format("15:04") }
	var parts []string
	if in.in > 0 {
		parts = append(parts, fmt.Sprintf("%s in at %s", rate(in.in), at(in)))
	}
	if out.out > 0 {
		parts = append(parts, fmt.Sprintf("%s out at %s", rate(out.out), at(out)))
	}
	if dropped.dropped > 0 {
		parts = append(parts, fmt.Sprintf("%s packets/s dropped at %s", packetRate(dropped.dropped), at(dropped)))
	}
	if len(parts) == 0 {
		return "No packet passed."
	}
	return "At most " + strings.Join(parts, ", ") + "."
}

// maxChartRows is how many rows the chart's table has at most.
const maxChartRows = 12

func tableOf(t *tunnel.Traffic, zone *time.Location) (rows []chartRow) {
	n := len(t.Intervals)
	each := (n + maxChartRows - 1) / maxChartRows
	for i := 0; i < n; i += each {
		var in, out tunnel.IntervalTraffic
		for _, x := range t.Intervals[i:min(i+each, n)] {
			in, out = in.Plus(x.In), out.Plus(x.Out)
		}
		rows = append(rows, chartRow{t.Intervals[i].From.In(zone).Format(time.TimeOnly), size(in.Bytes), size(out.Bytes), ui.Number(in.Dropped() + out.Dropped())})
	}
	return rows
}
