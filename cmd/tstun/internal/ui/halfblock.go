package ui

import "strings"

// blackOnWhite are these colours themselves, not what the user's theme calls so:
// the corners of the cube of the 256 colours (xterm's ctlseqs).
const blackOnWhite Colour = "38;5;16;48;5;231"

// HalfBlocks draws rows of dark and light squares, two rows in each line of
// characters. With colours it is dark on light whatever the background; without
// them, the light squares have the terminal's text colour, which is right on a
// dark background. It needs an output that shows Unicode.
func (p *Painter) HalfBlocks(rows [][]bool) {
	for y := 0; y < len(rows); y += 2 {
		var line strings.Builder
		for x := range rows[y] {
			lower := y+1 < len(rows) && rows[y+1][x]
			line.WriteString(p.halfBlock(rows[y][x], lower))
		}
		p.Printf("%s\n", p.Paint(blackOnWhite, line.String()))
	}
}

// halfBlock returns the character whose ink, which is dark with colours and
// light without, is in the upper half, the lower, both or none.
func (p *Painter) halfBlock(upperDark, lowerDark bool) string {
	blocks := map[[2]bool]string{{false, false}: " ", {true, false}: "▀", {false, true}: "▄", {true, true}: "█"}
	return blocks[[2]bool{upperDark == p.colour, lowerDark == p.colour}]
}
