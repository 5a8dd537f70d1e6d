package main

import "strings"

// table is text in columns. The first row is its head; a nil row draws a
// line.
type table struct {
	right []bool // columns that are aligned to the right
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }
func (t *table) rule()               { t.rows = append(t.rows, nil) }

func (t *table) widths() []int {
	w := make([]int, len(t.right))
	for _, row := range t.rows {
		for i, cell := range row {
			w[i] = max(w[i], width(cell))
		}
	}
	return w
}

// draw prints the table behind an indent of three columns.
func (p *painter) draw(t *table) {
	widths := t.widths()
	for i, row := range t.rows {
		if row == nil {
			p.printf("   %s\n", p.paint(dim, p.line(widths)))
			continue
		}
		line := strings.TrimRight(t.line(row, widths), " ")
		if i == 0 {
			line = p.paint(dim, line)
		}
		p.printf("   %s\n", line)
	}
}

const columnGap = "  "

func (t *table) line(row []string, widths []int) string {
	var b strings.Builder
	for i, cell := range row {
		if i > 0 {
			b.WriteString(columnGap)
		}
		pad := strings.Repeat(" ", widths[i]-width(cell))
		if t.right[i] {
			b.WriteString(pad + cell)
		} else {
			b.WriteString(cell + pad)
		}
	}
	return b.String()
}

func (p *painter) line(widths []int) string {
	total := len(columnGap) * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	return strings.Repeat(p.pick("─", "-"), total)
}
