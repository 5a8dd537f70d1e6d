package main

import (
	"slices"
	"strings"
)

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

// tableIndent is what stands in front of each row.
const tableIndent = "   "

// Widths below which no column is made narrower: one of prose while that is
// enough, and any.
const (
	minProse = 20
	minCell  = 6
)

// fit returns widths and the gap between them with which the table takes at
// most columns: prose gives way, if that is enough; else the gap, prose, and
// then any column that is aligned to the left. Their cells then take several
// lines.
func (t *table) fit(columns int) (widths []int, gap string) {
	for _, gap = range []string{"  ", " "} {
		widths = t.widths()
		if t.shrink(widths, total(widths, gap)-columns, minProse, t.isProse) {
			return widths, gap
		}
	}
	t.shrink(widths, total(widths, gap)-columns, minCell, func(i int) bool { return !t.right[i] })
	return widths, gap
}

// shrink takes excess from the widest of the columns that may give way, and
// reports whether there was as much above least.
func (t *table) shrink(widths []int, excess, least int, may func(column int) bool) bool {
	for ; excess > 0; excess-- {
		widest := -1
		for i, w := range widths {
			if may(i) && w > least && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		widths[widest]--
	}
	return true
}

// isProse reports whether a column is text of several words.
func (t *table) isProse(column int) bool {
	return !t.right[column] && slices.ContainsFunc(t.rows, func(row []string) bool {
		return row != nil && strings.Count(row[column], " ") > 2
	})
}

func total(widths []int, gap string) int {
	n := len(gap) * (len(widths) - 1)
	for _, w := range widths {
		n += w
	}
	return n
}

// draw prints the table behind tableIndent.
func (p *painter) draw(t *table) {
	widths, gap := t.fit(p.limit() - len(tableIndent))
	for i, row := range t.rows {
		if row == nil {
			line := strings.Repeat(p.pick("─", "-"), min(total(widths, gap), p.limit()-len(tableIndent)))
			p.printf("%s%s\n", tableIndent, p.paint(dim, line))
			continue
		}
		for _, line := range t.lines(row, widths, gap) {
			if i == 0 {
				line = p.paint(dim, line)
			}
			p.printf("%s%s\n", tableIndent, line)
		}
	}
}

// lines returns a row as one line, or as several if cells are too wide.
func (t *table) lines(row []string, widths []int, gap string) (lines []string) {
	cells := make([][]string, len(row))
	height := 1
	for i, cell := range row {
		cells[i] = breakUp(cell, widths[i])
		height = max(height, len(cells[i]))
	}
	for n := range height {
		part := make([]string, len(row))
		for i := range row {
			if n < len(cells[i]) {
				part[i] = cells[i][n]
			}
		}
		lines = append(lines, strings.TrimRight(t.line(part, widths, gap), " "))
	}
	return lines
}

// breakUp is wrap, but for words that are too long, which it cuts.
func breakUp(cell string, columns int) (lines []string) {
	for _, line := range wrap(cell, columns) {
		for width(line) > columns {
			runes := []rune(line)
			lines = append(lines, string(runes[:columns]))
			line = string(runes[columns:])
		}
		lines = append(lines, line)
	}
	return lines
}

func (t *table) line(row []string, widths []int, gap string) string {
	var b strings.Builder
	for i, cell := range row {
		if i > 0 {
			b.WriteString(gap)
		}
		pad := strings.Repeat(" ", max(widths[i]-width(cell), 0))
		if t.right[i] {
			b.WriteString(pad + cell)
		} else {
			b.WriteString(cell + pad)
		}
	}
	return b.String()
}
