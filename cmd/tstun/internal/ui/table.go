package ui

import (
	"slices"
	"strings"
)

// Table is text in columns. Its first row is its head.
type Table struct {
	Right []bool     // for each column, whether its cells are aligned to the right
	rows  [][]string // nil for a line across
}

// Add adds a row, which has a cell for each column.
func (t *Table) Add(cells ...string) { t.rows = append(t.rows, cells) }

// Rule adds a line across all columns.
func (t *Table) Rule() { t.rows = append(t.rows, nil) }

// tableIndent stands in front of each row.
const tableIndent = "   "

// The least widths to which columns are narrowed.
const (
	minProse = 20 // of a column of prose, while narrowing prose is enough
	minCell  = 6  // of any column
)

// Draw prints the table. Its rows fit the output as long as the columns that
// are aligned to the right do.
func (p *Painter) Draw(t *Table) {
	columns := p.limit() - len(tableIndent)
	widths, gap := t.fit(columns)
	for i, row := range t.rows {
		if row == nil {
			line := strings.Repeat(p.Pick("─", "-"), min(total(widths, gap), columns))
			p.Printf("%s%s\n", tableIndent, p.Paint(Dim, line))
			continue
		}
		for _, line := range t.lines(row, widths, gap) {
			if i == 0 {
				line = p.Paint(Dim, line)
			}
			p.Printf("%s%s\n", tableIndent, line)
		}
	}
}

// fit returns the widths of the columns, and the gap between them, with which
// a row takes at most so many columns of the output. It narrows prose first. If
// that is not enough, it narrows the gap, too, and then every column that is
// aligned to the left. The cells of a narrowed column take several lines.
func (t *Table) fit(columns int) (widths []int, gap string) {
	for _, gap = range []string{"  ", " "} {
		widths = t.widths()
		if shrink(widths, total(widths, gap)-columns, minProse, t.isProse) {
			return widths, gap
		}
	}
	shrink(widths, total(widths, gap)-columns, minCell, func(i int) bool { return !t.Right[i] })
	return widths, gap
}

// widths returns the width of each column's widest cell.
func (t *Table) widths() []int {
	w := make([]int, len(t.Right))
	for _, row := range t.rows {
		for i, cell := range row {
			w[i] = max(w[i], Width(cell))
		}
	}
	return w
}

// shrink takes excess off the columns for which may is true: each time one off
// the widest, as long as it is wider than least. It reports whether that took
// off all of excess.
func shrink(widths []int, excess, least int, may func(column int) bool) bool {
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

// isProse reports whether a column has a cell of four words or more and is not
// aligned to the right.
func (t *Table) isProse(column int) bool {
	return !t.Right[column] && slices.ContainsFunc(t.rows, func(row []string) bool {
		return row != nil && strings.Count(row[column], " ") > 2
	})
}

// total returns the width of a whole row.
func total(widths []int, gap string) int {
	n := len(gap) * (len(widths) - 1)
	for _, w := range widths {
		n += w
	}
	return n
}

// lines returns the lines of a row: as many as its highest cell takes.
func (t *Table) lines(row []string, widths []int, gap string) (lines []string) {
	cells := make([][]string, len(row))
	height := 1
	for i, cell := range row {
		cells[i] = BreakUp(cell, widths[i])
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

// BreakUp breaks a cell into lines of at most so many columns: between words,
// and within a word that is longer.
func BreakUp(cell string, columns int) (lines []string) {
	for _, line := range wrap(cell, columns) {
		for Width(line) > columns {
			runes := []rune(line)
			lines = append(lines, string(runes[:columns]))
			line = string(runes[columns:])
		}
		lines = append(lines, line)
	}
	return lines
}

// line returns one line of a row, its cells padded to the columns' widths.
func (t *Table) line(row []string, widths []int, gap string) string {
	var b strings.Builder
	for i, cell := range row {
		if i > 0 {
			b.WriteString(gap)
		}
		pad := strings.Repeat(" ", max(widths[i]-Width(cell), 0))
		if t.Right[i] {
			b.WriteString(pad + cell)
		} else {
			b.WriteString(cell + pad)
		}
	}
	return b.String()
}
