// Package chart draws horizontal bars as SVG, to be read on light and on dark
// backgrounds.
package chart

import (
	"math"
)

// Chart is a picture of one or more panels below each other.
type Chart struct {
	Title  string
	Kinds  []string // who has bars; each has its colour in all panels
	Panels []Panel
}

// Panel is a set of groups of bars on one axis, which begins at 0.
type Panel struct {
	Title    string
	Axis     string  // what the axis shows, with its unit
	Baseline float64 // where a line is drawn that others are compared with; 0: none
	Base     string  // what the line is
	Groups   []Group
}

// Group is the bars of one measure.
type Group struct {
	Label string
	Bars  []Bar
}

// Bar is a median, with the least and the greatest of the rounds.
type Bar struct {
	Kind     string
	Value    float64
	Min, Max float64
}

// top returns the end of the panel's axis, and how far its ticks are apart: a
// 1, 2 or 5 with zeros, of which about five fit. Few outliers do not make the
// other bars small: it is the medians that have to fit.
func (p Panel) top() (end, step float64) {
	most := p.Baseline
	for _, g := range p.Groups {
		for _, b := range g.Bars {
			if !math.IsInf(b.Value, 0) {
				most = math.Max(most, b.Value)
			}
		}
	}
	if !(most > 0) {
		return 1, 1
	}
	step = math.Pow(10, math.Floor(math.Log10(most/5)))
	for _, factor := range []float64{5, 2} {
		if most/(step*factor) >= 4 {
			step *= factor
			break
		}
	}
	return step * math.Ceil(most*1.02/step), step
}
