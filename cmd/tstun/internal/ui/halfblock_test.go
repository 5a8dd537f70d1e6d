package ui_test

import "testing"

// Two rows make a line: the ink is what is dark with colours, and what is light
// without. A row that is missing at the end is light.
func TestHalfBlocks(t *testing.T) {
	rows := [][]bool{{true, true, false, false}, {true, false, true, false}, {true, false, false, false}}
	for vars, want := range map[string]string{
		colourTerminal: "\x1b[38;5;16;48;5;231m█▀▄ \x1b[0m\n\x1b[38;5;16;48;5;231m▀   \x1b[0m\n",
		unicodePipe:    " ▄▀█\n▄███\n",
	} {
		p, out := newPainter(vars)
		p.HalfBlocks(rows)
		if got := out.String(); got != want || p.Err() != nil {
			t.Errorf("%s: %q, want %q", vars, got, want)
		}
	}
}
