package chart_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"tstun/bench/chart"
)

func draw(t *testing.T, c chart.Chart) string {
	t.Helper()
	var b strings.Builder
	if err := c.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func example() chart.Chart {
	return chart.Chart{
		Title: "us & <them>",
		Kinds: []string{"us", "them"},
		Panels: []chart.Panel{{
			Title: "throughput", Axis: "× bare", Baseline: 1, Base: "bare",
			Groups: []chart.Group{
				{Label: "TCP", Bars: []chart.Bar{{Kind: "us", Value: 2, Min: 1.5, Max: 2.5}, {Kind: "them", Value: 0.5, Min: 0.4, Max: 0.6}}},
				{Label: "odd", Bars: []chart.Bar{{Kind: "us", Value: -3, Min: -4, Max: 100}}},
			},
		}},
	}
}

// What is drawn is XML, whatever the texts are.
func TestWellFormed(t *testing.T) {
	for name, c := range map[string]chart.Chart{
		"empty": {}, "example": example(), "a panel without bars": {Panels: []chart.Panel{{Title: "nothing"}}},
	} {
		d := xml.NewDecoder(strings.NewReader(draw(t, c)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
	}
}

// All rectangles and lines are inside the picture, also those of values that
// are not on the axis.
func TestInside(t *testing.T) {
	type shape struct {
		X      float64 `xml:"x,attr"`
		Y      float64 `xml:"y,attr"`
		Width  float64 `xml:"width,attr"`
		Height float64 `xml:"height,attr"`
		X2     float64 `xml:"x2,attr"`
		Y2     float64 `xml:"y2,attr"`
	}
	var svg struct {
		Width  float64 `xml:"width,attr"`
		Height float64 `xml:"height,attr"`
		Rects  []shape `xml:"rect"`
		Lines  []shape `xml:"line"`
	}
	if err := xml.Unmarshal([]byte(draw(t, example())), &svg); err != nil {
		t.Fatal(err)
	}
	if len(svg.Rects) != 2+3 { // legend and bars
		t.Errorf("there are %d rectangles, want 5", len(svg.Rects))
	}
	for _, s := range append(svg.Rects, svg.Lines...) {
		right, bottom := math.Max(s.X+s.Width, s.X2), math.Max(s.Y+s.Height, s.Y2)
		if s.X < 0 || s.Width < 0 || right > svg.Width || bottom > svg.Height {
			t.Errorf("%+v is not inside %v × %v", s, svg.Width, svg.Height)
		}
	}
}

func TestTexts(t *testing.T) {
	svg := draw(t, example())
	for _, want := range []string{"us &amp; &lt;them&gt;", ">TCP<", ">bare<", ">× bare<", ">0.5<", "prefers-color-scheme: dark"} {
		if !strings.Contains(svg, want) {
			t.Errorf("there is no %q in\n%s", want, svg)
		}
	}
}
