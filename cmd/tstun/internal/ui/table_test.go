package ui_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/ui"
)

func TestTable(t *testing.T) {
	tab := &ui.Table{Right: []bool{false, true, false}}
	tab.Add("name", "n", "what")
	tab.Add("a", "1,000", "é")
	tab.Rule()
	tab.Add("", "7", "")
	p, b := newPainter(pipe)
	p.Draw(tab)
	want := "" +
		"   name      n  what\n" +
		"   a     1,000  é\n" +
		"   -----------------\n" +
		"             7\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b, want)
	}
	p, b = newPainter(colourTerminal)
	p.Draw(tab)
	if got := b.String(); !strings.Contains(got, "─") || !strings.Contains(got, "\x1b[2mname") {
		t.Errorf("got %q", got)
	}
}

// A table fits, whatever its cells are, as long as its numbers alone fit, and
// shows all its cells.
func TestTablesFit(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		tab := &ui.Table{Right: []bool{false, false, true, false, true}}
		var rows [][]string
		for range 1 + rng.IntN(4) {
			row := make([]string, 5)
			for i := range row {
				row[i] = strings.TrimSpace(strings.Repeat("ab cdé f"[:1+rng.IntN(8)], 1+rng.IntN(12)))
				if tab.Right[i] {
					row[i] = ui.Number(rng.Uint64N(1e9))
				}
			}
			tab.Add(row...)
			rows = append(rows, row)
		}
		tab.Rule()
		p, b := newPainter(pipe)
		p.Draw(tab)
		for line := range strings.Lines(b.String()) {
			if ui.Width(strings.TrimRight(line, "\n")) > ui.MaxColumns {
				t.Fatalf("%d columns:\n%s", ui.Width(line), b)
			}
		}
		if got, want := letters(b.String()), letters(fmt.Sprint(rows)); got != want {
			t.Fatalf("%d letters, want %d:\n%s\n%v", got, want, b, rows)
		}
	}
}

// letters returns the number of characters that are no space and no frame.
func letters(s string) (n int) {
	for _, r := range s {
		if !strings.ContainsRune(" \n[]-", r) {
			n++
		}
	}
	return n
}
