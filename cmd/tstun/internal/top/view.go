package top

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"tstun"
	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/tunnel"
)

// headLines is how many lines stand above the rows.
const headLines = 6

// View draws the screen.
func (m *model) View() tea.View {
	lines := m.head()
	room := max(0, m.height-len(lines)-1)
	body := m.table(room)
	if m.explained {
		body = m.explanation(room)
	}
	for len(body) < room {
		body = append(body, "")
	}
	lines = append(append(lines, body[:room]...), m.foot())
	for i, l := range lines {
		lines[i] = cut(l, m.width)
	}
	for i := range lines {
		switch {
		case i == headLines-1 && !m.explained, i == len(lines)-1:
			lines[i] = reverse(pad(lines[i], m.width))
		}
	}
	if i := m.shownIndex(room); i >= 0 && !m.explained {
		lines[headLines+i] = bold(lines[headLines+i])
	}
	v := tea.NewView(strings.Join(lines, "\n"))
	v.AltScreen, v.WindowTitle = true, "tstun top"
	return v
}

func (m *model) head() []string {
	s := &m.status
	up := 0
	for i := range s.Peers {
		if s.Peers[i].Up {
			up++
		}
	}
	policy := "no policy"
	if s.Policy.File != "" {
		policy = fmt.Sprintf("%s, %s", filepath.Base(s.Policy.File), ui.Counted(s.Policy.Rules, "rule", "rules"))
	}
	state := ""
	if m.paused {
		state = "  PAUSED"
	}
	what := "/ "
	switch {
	case m.typing:
		what += m.filter + "_"
	case m.failed != nil:
		what = "no answer: " + m.failed.Error()
	case m.filter == "":
		what += "all"
	default:
		what += m.filter
	}
	if m.drops {
		what = "drops only  " + what
	}
	return []string{
		clean(fmt.Sprintf("%s, %s, %d of %s up, %s%s", s.Name, s.Mode, up, ui.Counted(len(s.Peers), "peer", "peers"), policy, state)),
		books("in ", &s.Counters.In, s.Unaccounted.In, m.in),
		books("out", &s.Counters.Out, s.Unaccounted.Out, m.out),
		fmt.Sprintf("%s, %s refused; asked every %s, %s each", ui.Counted(m.total.Passed, "flow", "flows"), ui.Number(uint64(m.total.Refused)),
			ui.Duration(pause(m.took)), ui.Duration(m.took)),
		clean(what),
		m.columns(rowCells{"FLOW", "IN", "OUT", "RATE", "AGE", "WHY", "STATE"}),
	}
}

// books says what became of the packets of a direction: each is counted once.
func books(way string, d *tstun.DirectionCounters, unaccounted uint64, rate float64) string {
	total := d.Packets + d.Dropped() + d.Held + unaccounted
	text := fmt.Sprintf("%s %s = %s delivered + %s dropped", way, ui.Number(total), ui.Number(d.Packets), ui.Number(d.Dropped()))
	if d.Held > 0 {
		text += " + " + ui.Number(d.Held) + " held"
	}
	return text + fmt.Sprintf(", %s unaccounted, %s/s", ui.Number(unaccounted), size(rate))
}

func (m *model) foot() string {
	if m.wrong != "" {
		return clean(m.wrong)
	}
	return fmt.Sprintf("s sort: %s  / filter  d drops  Enter explain  p pause  q quit", orders[m.order].name)
}

// table draws the rows around the chosen one.
func (m *model) table(room int) (lines []string) {
	from := m.first(room)
	for i := from; i < min(len(m.rows), from+room); i++ {
		mark := "  "
		if i == m.index() {
			mark = "> "
		}
		lines = append(lines, mark+m.columns(m.cells(&m.rows[i]))[2:])
	}
	if len(m.rows) == 0 && !m.answered.IsZero() {
		lines = append(lines, "  nothing")
	}
	return lines
}

// first returns the place of the row that is drawn first.
func (m *model) first(room int) int { return max(0, min(m.index()-room/2, len(m.rows)-room)) }

// shownIndex returns the line of the chosen row, or -1.
func (m *model) shownIndex(room int) int {
	if i := m.index(); i >= 0 && i-m.first(room) < room {
		return i - m.first(room)
	}
	return -1
}

// rowCells are the cells of a row.
type rowCells [7]string

func (m *model) cells(r *row) rowCells {
	state := r.Phase.String()
	switch {
	case r.IsRefused():
		state = "refused"
	case r.Revoked:
		state = "revoked"
	}
	return rowCells{"  " + clean(r.Flow.Short()), size(float64(r.In.Bytes)), size(float64(r.Out.Bytes)), size(r.rate) + "/s", ui.Age(m.answered.Sub(r.First)), whyShort(&r.Flow), state}
}

// whyShort says by which rule a flow passes, or why not: "policy.hujson:5", "no-rule: port".
func whyShort(f *tunnel.Flow) string {
	switch {
	case len(f.Lacks) > 0:
		return f.Reason.String() + ": " + strings.Join(f.Lacks, ",")
	case f.IsRefused():
		return f.Reason.String()
	case f.Rule != nil:
		return clean(fmt.Sprintf("%s:%d", filepath.Base(f.Rule.File), f.Rule.Line))
	case f.Initiator == filter.InitiatorHost:
		return "this host"
	}
	return "-"
}

// widths of the columns but the first. The last ones are left out where there is no room.
var widths = [7]int{0, 9, 9, 11, 7, 20, 13}

// columns lays cells out in the terminal's width.
func (m *model) columns(c rowCells) string {
	const least = 24 // of the first column
	shown, rest := len(c), m.width
	for i := 1; i < len(c); i++ {
		rest -= widths[i]
	}
	for ; shown > 2 && rest < least; shown-- {
		rest += widths[shown-1]
	}
	var b strings.Builder
	b.WriteString(pad(cut(c[0], rest), rest))
	for i := 1; i < shown; i++ {
		cell := cut(c[i], widths[i]-1)
		if i <= 4 { // numbers, to the right
			b.WriteString(strings.Repeat(" ", widths[i]-ui.Width(cell)) + cell)
			continue
		}
		b.WriteString(" " + pad(cell, widths[i]-1))
	}
	return b.String()
}

func size(bytes float64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%.0f B", bytes)
	}
	return ui.Size(min(bytes, 1<<62)).Short()
}

// clean returns text without what would move a terminal's cursor.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// cut returns at most so many columns of text.
func cut(text string, columns int) string {
	if ui.Width(text) <= columns {
		return text
	}
	return string([]rune(text)[:max(columns, 0)])
}

func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-ui.Width(text)))
}

func reverse(text string) string { return "\x1b[7m" + text + "\x1b[0m" }
func bold(text string) string    { return "\x1b[1m" + text + "\x1b[0m" }
