package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Sizes in pixels.
const (
	width     = 880
	left      = 300 // of the axis: labels stand before it
	right     = 80  // beyond the axis: figures of the longest bars
	barHeight = 11
	barGap    = 3
	groupGap  = 9
	lineGap   = 20
	margin    = 16
)

// style gives light and dark their colours. The bars' differ in lightness too,
// for people who do not see all colours.
const style = `
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.panel { font-weight: 600; }
.small { font-size: 10px; fill: #59636e; }
.grid { stroke: #d1d9e0; }
.base { stroke: #1f2328; stroke-dasharray: 4 3; }
.range { stroke: #1f2328; opacity: 0.55; }
.k0 { fill: #2f81f7; } .k1 { fill: #d9822b; } .k2 { fill: #1a4f9c; } .k3 { fill: #8250df; } .k4 { fill: #6e7781; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; }
.small { fill: #9198a1; }
.grid { stroke: #3d444d; }
.base { stroke: #f0f6fc; }
.range { stroke: #f0f6fc; }
}
`

// painter writes elements from top to bottom.
type painter struct {
	out   bytes.Buffer
	y     int
	class map[string]string // of a kind's bars
}

// WriteSVG draws c.
func (c Chart) WriteSVG(w io.Writer) error {
	p := painter{y: margin + 12, class: make(map[string]string)}
	for i, kind := range c.Kinds {
		p.class[kind] = "k" + strconv.Itoa(i%5)
	}
	p.text(margin, p.y, "title", "start", c.Title)
	p.legend(c.Kinds)
	for _, panel := range c.Panels {
		p.panel(panel)
	}
	height := p.y + margin
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" role="img" width="%d" height="%d" viewBox="0 0 %d %d">`+
		"\n<title>%s</title>\n<style>%s</style>\n%s</svg>\n",
		width, height, width, height, escape(c.Title), style, p.out.Bytes())
	return err
}

func (p *painter) legend(kinds []string) {
	p.y += lineGap
	x := margin
	for _, kind := range kinds {
		p.rect(p.class[kind], x, p.y-9, 10)
		p.text(x+15, p.y, "", "start", kind)
		x += 40 + 7*len(kind)
	}
}

// panel draws the groups, and behind them the axis.
func (p *painter) panel(panel Panel) {
	p.y += 2 * lineGap
	p.text(margin, p.y, "panel", "start", panel.Title)
	p.y += lineGap
	height := 0
	for _, g := range panel.Groups {
		height += len(g.Bars)*(barHeight+barGap) + groupGap
	}
	end, step := panel.top()
	x := func(v float64) int {
		return left + int(math.Round(float64(width-left-right)*min(1, max(0, v/end))))
	}
	p.axis(panel, x, end, step, height)
	for _, g := range panel.Groups {
		p.group(g, x, end)
	}
	p.y += lineGap + 6 // below the ticks' figures
	p.text(left, p.y, "small", "start", panel.Axis)
}

// axis draws the lines with their figures, and the baseline.
func (p *painter) axis(panel Panel, x func(float64) int, end, step float64, height int) {
	for v := 0.0; v <= end*1.001; v += step {
		p.line("grid", x(v), p.y, x(v), p.y+height)
		p.text(x(v), p.y+height+10, "small", "middle", short(v))
	}
	if panel.Baseline > 0 {
		at := x(panel.Baseline)
		p.line("base", at, p.y-4, at, p.y+height)
		p.text(at, p.y-7, "small", "middle", panel.Base)
	}
}

func (p *painter) group(g Group, x func(float64) int, end float64) {
	height := len(g.Bars) * (barHeight + barGap)
	p.text(left-8, p.y+height/2+4, "", "end", g.Label)
	for _, b := range g.Bars {
		p.rect(p.class[b.Kind], left, p.y, x(b.Value)-left)
		middle := p.y + barHeight/2
		p.line("range", x(b.Min), middle, x(b.Max), middle)
		p.text(max(x(b.Value), x(b.Max))+5, p.y+barHeight-2, "small", "start", short(b.Value))
		p.y += barHeight + barGap
	}
	p.y += groupGap
}

// short writes v with two digits after the point, or three significant ones.
func short(v float64) string {
	if math.Abs(v) < 10 {
		return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

func (p *painter) rect(class string, x, y, w int) {
	fmt.Fprintf(&p.out, `<rect class="%s" x="%d" y="%d" width="%d" height="%d"/>`+"\n", class, x, y, max(1, w), barHeight)
}

func (p *painter) line(class string, x1, y1, x2, y2 int) {
	fmt.Fprintf(&p.out, `<line class="%s" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n", class, x1, y1, x2, y2)
}

func (p *painter) text(x, y int, class, anchor, s string) {
	fmt.Fprintf(&p.out, `<text class="%s" x="%d" y="%d" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, escape(s))
}

func escape(s string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(s)) // a Buffer takes everything
	return b.String()
}
