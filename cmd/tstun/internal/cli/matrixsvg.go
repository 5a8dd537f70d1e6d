package cli

import (
	"fmt"
	"html"
	"strings"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
)

// Sizes of the picture of a matrix, in its own units, which are a screen's pixels.
const (
	svgLine    = 16 // height of a line of text
	svgPad     = 8  // around the text of a cell
	svgLetters = 34 // of a line in a cell; what is longer goes on in the next one
)

// svgWidth returns the width of a text of so many letters in 12 pixels, of the widest of
// the usual fonts: DejaVu Sans Mono's take 0.602 of their size.
func svgWidth(letters int) int { return (letters*29 + 3) / 4 }

const svgHead = `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="who reaches what">
<style>
text { font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1c1e21 } .head ~ text { font-weight: 600 }
rect { stroke: #c9ccd1; fill: none }
.page { fill: #fff; stroke: none } .head { fill: #eef0f3 } .allowed { fill: #d9f2de } .denied { fill: #f9dcdc } .both { fill: #faeccb }
@media (prefers-color-scheme: dark) {
text { fill: #e6e8eb } rect { stroke: #4a4e55 }
.page { fill: #16181b } .head { fill: #25282d } .allowed { fill: #173d22 } .denied { fill: #4b1d1d } .both { fill: #463810 }
}
</style>
<rect class="page" width="100%%" height="100%%"/>
`

// svgCell is a cell of the picture.
type svgCell struct {
	class string
	title string   // what is shown where a pointer rests
	lines []string // of svgLetters at most
}

// writeMatrixSVG prints the matrix as a picture that needs nothing else, light or
// dark as the reader's system is.
func writeMatrixSVG(env ui.Environment, m *policy.Matrix, diff bool) error {
	rows := [][]svgCell{{newSVGCell("head", "from \\ to")}}
	for _, dst := range m.Dsts {
		rows[0] = append(rows[0], newSVGCell("head", dst.String()))
	}
	allowed, denied := signs(diff)
	for i, src := range m.Srcs {
		row := []svgCell{newSVGCell("head", src.String())}
		for j, dst := range m.Dsts {
			access := m.Cell(i, j)
			c := newSVGCell(accessClass(access), accessTexts(access, allowed, denied)...)
			c.title = fmt.Sprintf("%v to %v: %s", src, dst, c.title)
			row = append(row, c)
		}
		rows = append(rows, row)
	}
	if _, err := fmt.Fprint(env.Stdout, drawSVG(rows)); err != nil {
		return ui.WriteFailure(err)
	}
	return nil
}

// accessClass returns the class of a cell in the picture.
func accessClass(access []policy.Access) string {
	class := ""
	for _, a := range access {
		is := becomes(a.Allowed)
		if class != "" && class != is {
			return "both"
		}
		class = is
	}
	if class == "" {
		return "none"
	}
	return class
}

func newSVGCell(class string, texts ...string) svgCell {
	c := svgCell{class: class, title: strings.Join(texts, "; ")}
	if c.title == "" {
		c.title = "nothing"
	}
	for _, text := range texts {
		if ui.Width(text) > svgLetters {
			text = strings.ReplaceAll(text, ",", ", ") // where a line may end
		}
		c.lines = append(c.lines, ui.BreakUp(text, svgLetters)...)
	}
	return c
}

// drawSVG draws rows of cells, each as high as its highest, each column as wide as
// its widest.
func drawSVG(rows [][]svgCell) string {
	widths, heights := make([]int, len(rows[0])), make([]int, len(rows))
	for i, row := range rows {
		heights[i] = svgLine
		for j, c := range row {
			heights[i] = max(heights[i], svgLine*len(c.lines))
			for _, line := range c.lines {
				widths[j] = max(widths[j], svgWidth(ui.Width(line)))
			}
		}
	}
	var b strings.Builder
	y := svgPad
	for i, row := range rows {
		x := svgPad
		for j, c := range row {
			w, h := widths[j]+2*svgPad, heights[i]+2*svgPad
			fmt.Fprintf(&b, `<g><title>%s</title><rect class="%s" x="%d" y="%d" width="%d" height="%d"/>`, html.EscapeString(c.title), c.class, x, y, w, h)
			for n, line := range c.lines {
				fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`, x+svgPad, y+svgPad+svgLine*(n+1)-4, html.EscapeString(line))
			}
			b.WriteString("</g>\n")
			x += w
		}
		y += heights[i] + 2*svgPad
	}
	width := 2 * svgPad
	for _, w := range widths {
		width += w + 2*svgPad
	}
	return fmt.Sprintf(svgHead, width, y+svgPad) + b.String() + "</svg>\n"
}
