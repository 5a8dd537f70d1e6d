package top

import (
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// key does what a key asks for.
func (m *model) key(name string) tea.Cmd {
	switch name {
	case "q", "ctrl+c":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "s":
		m.order = (m.order + 1) % len(orders)
		m.sort()
	case "/":
		m.typing, m.explained = true, false
	case "d":
		m.drops = !m.drops
		return m.askNow(0)
	case "p":
		if m.paused = !m.paused; !m.paused {
			return m.askNow(0)
		}
	case "enter":
		if !m.chosen {
			m.choose(0)
		}
		m.explained = m.chosen && !m.explained
	case "esc":
		m.explained = false
		if m.filter != "" {
			return m.setFilter("")
		}
	default:
		m.move(name)
	}
	return nil
}

// move chooses another row.
func (m *model) move(name string) {
	page := max(1, m.height-headLines-1)
	switch at := m.index(); name {
	case "up", "k":
		m.choose(at - 1)
	case "down", "j":
		m.choose(at + 1)
	case "pgup":
		m.choose(at - page)
	case "pgdown":
		m.choose(at + page)
	case "home", "g":
		m.choose(0)
	case "end", "G":
		m.choose(len(m.rows) - 1)
	}
}

// keyInFilter edits the filter.
func (m *model) keyInFilter(k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "enter":
		m.typing = false
	case "ctrl+c":
		return tea.Quit
	case "esc":
		m.typing = false
		return m.setFilter("")
	case "ctrl+u":
		return m.setFilter("")
	case "backspace":
		_, n := utf8.DecodeLastRuneInString(m.filter)
		return m.setFilter(m.filter[:len(m.filter)-n])
	default:
		if k.Text != "" {
			return m.setFilter(m.filter + k.Text)
		}
	}
	return nil
}

// setFilter asks by another expression, soon, since another key may follow.
func (m *model) setFilter(text string) tea.Cmd {
	m.filter = text
	return m.askNow(typed)
}
